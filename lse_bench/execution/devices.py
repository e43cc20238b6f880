"""Where workers run: `--devices` in words, and each worker's own device.

A worker sees one device only. Everything in its process that asks for CUDA gets that one.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lse_bench.errors import UsageError
from lse_bench.processor import usable_cores

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"
_MOST, _A_CORE = 1024, 4  # processes, and processes without a GPU for each core


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one worker.

    `label`: its name in messages, such as `cuda:1` or `cpu#2`. `device`: its torch device as it sees it, `cpu` or
    `cuda`. `environment`: variables that are set for its process before it starts.
    """

    label: str
    device: str
    environment: dict[str, str] = field(default_factory=dict)


def parse_places(text: str, cards: int) -> list[Place]:
    """Return one place for each worker that `--devices` asks for.

    `text`: `all` for every GPU, or parts with commas between them: `N` or `cuda:N` for the GPU number N, `cuda:NxM` for
    M processes on it, `cpu:M` for M processes without a GPU. `cards`: the number of GPUs of this machine.
    Raises UsageError if a part has another form, names a GPU that does not exist, or asks for no or too many processes.
    """
    if text.strip() == "all":
        if not cards:
            raise UsageError(
                "--devices all: torch finds no CUDA device. For processes on the CPU, pass --devices cpu:N"
            )
        text = ",".join(map(str, range(cards)))
    found: list[tuple[str, int]] = []
    for part in text.split(","):
        one = part.strip()
        gpu = re.fullmatch(r"(?:cuda:)?([0-9]{1,4})(?:x([0-9]{1,4}))?", one)
        cpu = re.fullmatch(r"cpu(?::([0-9]{1,4}))?", one)
        if gpu is not None:
            if int(gpu[1]) >= cards:
                raise UsageError(f"--devices {text}: this machine has {cards} CUDA devices, counted from 0")
            found.append((gpu[1], int(gpu[2] or 1)))
        elif cpu is not None:
            found.append(("cpu", int(cpu[1] or 1)))
        else:
            raise UsageError(
                f"--devices {text}: {one!r} is no device. Write all, or GPUs and processes with commas between them: "
                "0,2 or cuda:0x4 (four processes on one card) or cpu:2"
            )
    total = sum(count for _, count in found)
    if not 0 < total <= _MOST or any(not count for _, count in found):
        raise UsageError(f"--devices {text}: this asks for {total} processes; 1 to {_MOST} are possible")
    on_cpu, cores = sum(count for name, count in found if name == "cpu"), usable_cores()
    if on_cpu > _A_CORE * cores:
        raise UsageError(
            f"--devices {text}: {on_cpu} processes without a GPU, but this machine has {cores} usable cores. At most "
            f"{_A_CORE * cores} are started; {cores} are the fastest"
        )
    threads = _threads(total)
    seen: Counter[str] = Counter()
    places = []
    for name, count in found:
        for _ in range(count):
            seen[name] += 1
            places.append(_place(name, seen[name], sum(c for n, c in found if n == name), threads))
    return places


def _place(name: str, number: int, of: int, threads: dict[str, str]) -> Place:
    label = "cpu" if name == "cpu" else f"cuda:{name}"
    label += f"#{number}" if of > 1 else ""
    if name == "cpu":
        return Place(label, "cpu", {VISIBLE: "", **threads})
    return Place(label, "cuda", {VISIBLE: _visible(int(name)), **threads})


def _visible(number: int) -> str:
    """Return the name of a GPU for the worker. A list in this process's environment already chooses and orders them."""
    given = [one.strip() for one in os.environ.get(VISIBLE, "").split(",") if one.strip()]
    return given[number] if number < len(given) else str(number)


def _threads(workers: int) -> dict[str, str]:
    """Return the number of threads of a worker: its share of the cores, or fewer if the environment says so."""
    given = os.environ.get(THREADS, "")
    share = max(1, usable_cores() // workers)
    return {THREADS: str(min(share, int(given)) if given.isdigit() and int(given) else share)}


def in_words(places: Sequence[Place]) -> str:
    """Return devices for records, such as `2 x cpu` or `cuda:0, cuda:1`."""
    counts = Counter(place.label.split("#")[0] for place in places)
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
