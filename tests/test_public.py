"""Every public name: its doctest or its use, by arrays, files and stored runs."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from commands import lse_bench_here

import lse_bench
from lse_bench.runs.cite import BIBTEX

SCHEMA_1 = Path(__file__).parent / "golden" / "runs" / "schema-1"


@pytest.fixture(scope="module")
def outputs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    listed = lse_bench_here("manifest", "build", corpus, "--rule", "other-speaker", "--pairs", 3, "--split", "test",
                            "--out", folder / "pairs.json")  # fmt: skip
    assert listed.returncode == 0, listed.stderr
    made = lse_bench.generate("unsynced", folder / "pairs.json", out=folder / "videos")
    assert made.made == made.listed == 3
    return folder / "videos"


@pytest.fixture(scope="module")
def run(outputs: Path, corpus: Path) -> lse_bench.Run:
    return lse_bench.evaluate(
        outputs, originals=corpus, metrics=("lse", "fd_sync"), weights="syncnet-mini", protocol="lrs-lossless@1",
        out=outputs.parent / "run",
    )  # fmt: skip


def test_a_run_is_numbers_and_a_frame(run: lse_bench.Run) -> None:
    assert run.lse_d.n == 3 and run.lse_d.higher_is_better is False
    assert run.lse_d.ci95 is None and run.lse_d.ci_method.startswith("none: one speaker")
    assert run.signature.startswith("lrs-lossless@1|syncnet-mini:") and run.fd_sync is not None and run.fid is None
    frame = run.to_frame(curves=True)
    assert len(frame) == 3 and set(frame["status"]) == {"ok"} and frame["offset"].dtype == "Int64"
    assert float(frame["lse_c"].mean()) == pytest.approx(run.lse_c.mean)
    assert {"method", "clip", "group_speaker", "curve_-15", "curve_+0", "curve_+15"} <= set(frame.columns)
    assert frame["curve_+0"].tolist() == pytest.approx([record.lse_d_at_0 for record in run.records])


def test_a_stored_run_reads_back(run: lse_bench.Run) -> None:
    assert run.path is not None
    again = lse_bench.read_run(run.path)
    assert again == run
    old = lse_bench.read_run(SCHEMA_1)
    assert old.description.schema_version == 1 and len(old.to_frame()) == 3
    assert old.signature.endswith("|fps:25|fp32|lse-bench:0.1.0")


def test_runs_are_compared(run: lse_bench.Run) -> None:
    found = lse_bench.compare(run, run)
    assert found.both == 3 and found.metrics["lse_c"].difference == 0 and found.metrics["lse_c"].better is None
    assert isinstance(found, lse_bench.Comparison) and found.signatures[0] == run.signature


def test_wrong_calls_say_what_is_there(outputs: Path) -> None:
    with pytest.raises(lse_bench.UsageError, match="no metric called lsc. Did you mean lse"):
        lse_bench.evaluate(outputs, metrics=("lsc",), weights="syncnet-mini")  # type: ignore[arg-type]
    with pytest.raises(lse_bench.UsageError, match="Pass their folder as originals="):
        lse_bench.evaluate(outputs, metrics=("fid",), weights="syncnet-mini")
    with pytest.raises(lse_bench.UsageError, match="Name one of them in metrics="):
        lse_bench.evaluate(outputs, originals=outputs, weights="syncnet-mini")
    scored: list[object] = []
    with pytest.raises(lse_bench.WeightsError, match="inception"):
        lse_bench.evaluate(
            outputs, originals=outputs, metrics=("fid",), weights="syncnet-mini", offline=True, on_record=scored.append
        )
    assert not scored, "what is missing is found before the first clip"
    with pytest.raises(lse_bench.UsageError, match="makes whole videos"):
        lse_bench.generate("real", outputs / "manifest.json", out=outputs / "x", pads=(0, 0, 0, 0))


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from lse_bench.fidelity.inception import FidInception
    from lse_bench.generators.interface import Options
    from lse_bench.generators.registry import make_generator

    monkeypatch.setattr("lse_bench.versions.find_spec", lambda name: None)
    with pytest.raises(
        lse_bench.UsageError, match=r"wav2lip needs the package librosa: pip install .lse-bench\[generators\]"
    ):
        make_generator("wav2lip", Options())
    with pytest.raises(lse_bench.UsageError, match=r"pytorch_fid: pip install .lse-bench\[fid\]"):
        FidInception({})


def test_a_run_is_cited(run: lse_bench.Run) -> None:
    ended = lse_bench_here("cite", run.folder)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.split("\n\n")
    assert lines[0] == run.signature
    assert "Of 3 clips, 3 were scored." in lines[1] and f"LSE-D is {run.lse_d.mean:.3f} and" in lines[1]
    assert "chung2016out" in ended.stdout and "heusel2017gans" not in ended.stdout
    assert all(text.count("{") == text.count("}") for text in BIBTEX.values())


@pytest.mark.parametrize("module", ["lse_bench.sync.quality", "lse_bench.naming"])
def test_examples_in_docstrings_are_true(module: str) -> None:
    tried = doctest.testmod(importlib.import_module(module))
    assert tried.attempted and not tried.failed
