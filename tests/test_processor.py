"""Usable cores and what a record says of the machine, against made-up /proc and control groups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lse_bench import processor
from lse_bench.devices import settle_threads

CPUINFO = "processor : 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t: fpu avx2 avx sse4_1\n\nprocessor : 1\nflags : sve"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A system of 8 cores whose files lie in a folder; a test writes them."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    monkeypatch.setattr(processor, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(processor, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    processor._cpuinfo.cache_clear()
    yield tmp_path
    processor._cpuinfo.cache_clear()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_control_groups_the_affinity_counts(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processor.usable_cores() == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert processor.usable_cores() == 1


@pytest.mark.parametrize(
    ("own", "outer", "cores"),
    [
        ("max 100000", "max 100000", 8),
        ("300000 100000", "max 100000", 3),
        ("max 100000", "150000 100000", 2),  # a quota of the group around it, rounded up
        ("50000 100000", "400000 100000", 1),
        ("1600000 100000", "max 100000", 8),
        ("nonsense", "200000 100000", 2),
    ],
)
def test_quota_of_version_2(system: Path, own: str, outer: str, cores: int) -> None:
    write(system / "proc" / "self" / "cgroup", "0::/slice/job\n")
    write(system / "cgroup" / "slice" / "job" / "cpu.max", own)
    write(system / "cgroup" / "slice" / "cpu.max", outer)
    assert processor.usable_cores() == cores


@pytest.mark.parametrize("text", ["", "nonsense\n", "0:\n\n"])
def test_an_odd_list_of_groups_is_no_limit(system: Path, text: str) -> None:
    write(system / "proc" / "self" / "cgroup", text)
    assert processor.usable_cores() == 8


def test_a_container_sees_its_own_group_as_the_root(system: Path) -> None:
    write(system / "proc" / "self" / "cgroup", "0::/docker/0123\n")
    write(system / "cgroup" / "cpu.max", "200000 100000\n")
    assert processor.usable_cores() == 2


@pytest.mark.parametrize(("quota", "cores"), [("250000", 3), ("-1", 8), ("0", 8)])
@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_quota_of_version_1(system: Path, folder: str, quota: str, cores: int) -> None:
    write(system / "proc" / "self" / "cgroup", "5:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n")
    write(system / "cgroup" / folder / "job" / "cpu.cfs_quota_us", quota)
    write(system / "cgroup" / folder / "job" / "cpu.cfs_period_us", "100000")
    assert processor.usable_cores() == cores


def test_machine(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(system / "proc" / "cpuinfo", CPUINFO)
    for name in processor.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    found = processor.machine()
    assert found["processor"] == "Some CPU @ 2 GHz"
    assert found["instruction_sets"] == ["sse4_1", "avx", "avx2"]
    assert found["limits"] == {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    assert found["cores"] == 8 and found["threads"] == torch.get_num_threads()


def test_a_machine_without_proc_is_described_too(system: Path) -> None:
    found = processor.machine()
    assert found["processor"] and found["instruction_sets"] == []


@pytest.mark.parametrize(("variable", "wanted"), [(None, 1), ("3", 3)])
def test_torch_takes_no_more_threads_than_cores(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, wanted: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("lse_bench.devices.usable_cores", lambda: 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    try:
        torch.set_num_threads(3)
        settle_threads()
        assert torch.get_num_threads() == wanted
    finally:
        torch.set_num_threads(before)
