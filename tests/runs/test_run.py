"""Runs: killed and resumed, sharded and merged, mixed with failures: always the same records."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import clips
import numpy as np
import pytest

from lse_bench import evaluate
from lse_bench.errors import UsageError
from lse_bench.manifests.clips import find_clips
from lse_bench.runs.merge import merge_runs
from lse_bench.runs.records import open_records, read_records
from lse_bench.runs.run import score_run
from lse_bench.runs.schema import Record
from lse_bench.runs.shards import Shard
from lse_bench.stored import to_json
from lse_bench.sync.scorer import SyncScorer
from lse_bench.sync.syncnet import SyncNet

FIELDS = [
    "clip",
    "id",
    "status",
    "reason",
    "warnings",
    "lse_d",
    "lse_c",
    "offset",
    "lse_d_at_0",
    "lse_d_valid",
    "lse_c_valid",
    "offset_valid",
    "curve",
    "windows",
    "offset_ms",
    "offset_margin",
    "offset_grade",
    "offset_r37",
    "search",
    "timeline",
    "frames",
    "fps",
    "seconds",
    "tracks",
    "groups",
    "sha256",
    "bytes",
    "changed",
    "sound",
    "sound_sha256",
    "sound_bytes",
    "sound_changed",
    "sound_stream",
    "sound_seconds",
    "start",
    "end",
    "measures",
    "missing",
    "features",
    "conversion_ms",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven clips, two of them bad."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(5):
        clips.good(folder / f"{number}.mp4", 0.6 + 0.2 * number, seed=number)
    (folder / "bad.mp4").write_bytes(b"")
    clips.write(folder / "mute.mp4", clips.even(30))
    return folder


@pytest.fixture(scope="module")
def scorer(narrow: Path) -> SyncScorer:
    return SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu")


@pytest.fixture(scope="module")
def plain(folder: Path, scorer: SyncScorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "plain"
    score_run(scorer, find_clips([folder]), out, keep_windows=True)
    return out


def assert_same_run(one: Path, other: Path) -> None:
    first, second = ({record.id: record for record in read_records(run)} for run in (one, other))
    assert first.keys() == second.keys()
    for name, record in first.items():
        assert record.status == second[name].status
        if record.curve is not None:
            np.testing.assert_allclose(record.curve, second[name].curve, rtol=0, atol=1e-6)
            assert record.lse_d == pytest.approx(second[name].lse_d, abs=1e-6)
            assert record.lse_c == pytest.approx(second[name].lse_c, abs=1e-6)
            assert record.offset == second[name].offset
    sums = [json.loads((run / "summary.json").read_text()) for run in (one, other)]
    for field in ("listed", "scored", "failed", "pending", "warned", "key"):
        assert sums[0][field] == sums[1][field], field
    assert sums[0]["metrics"]["lse_d"]["mean"] == pytest.approx(sums[1]["metrics"]["lse_d"]["mean"], abs=1e-6)


def test_a_run_directory_holds_what_the_design_says(plain: Path, folder: Path, scorer: SyncScorer) -> None:
    description = json.loads((plain / "run.json").read_text())
    assert description["schema"] == 2 and description["protocol"] == "lrs-lossless@1"
    for field in ("key", "weights", "list", "versions", "device", "precision", "seed", "command", "manifest_sha256"):
        assert field in description
    assert description["weights"]["sha256"] == scorer.weights_sha256 and description["weights"]["name"] is None
    for line in (plain / "records.jsonl").read_text().splitlines():
        assert list(json.loads(line)) == FIELDS
    summary = json.loads((plain / "summary.json").read_text())
    assert (summary["listed"], summary["scored"]) == (7, 5)
    assert summary["failed"] == {"unreadable": 1, "no_audio": 1}
    assert summary["signature"].startswith(f"lrs-lossless@1|weights:{scorer.weights_sha256[:8]}|fps:")
    records = {record.id: record for record in read_records(plain)}
    assert {path.stem for path in (plain / "windows").iterdir()} == {"0", "1", "2", "3", "4"}
    with np.load(plain / "windows" / "3.npz") as kept:
        assert kept["distances"].shape == (records["3"].windows, 31)
        assert np.allclose(kept["distances"].mean(axis=0), records["3"].curve, rtol=1e-6)


@pytest.mark.command
def test_killed_in_the_middle_and_started_again(folder: Path, narrow: Path, plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from lse_bench.manifests.clips import find_clips\nfrom lse_bench.runs.run import score_run\n"
        "from lse_bench.sync.scorer import SyncScorer\n"
        "seen = []\n"
        "def stop(record):\n"
        "    seen.append(record)\n"
        "    if len(seen) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "scorer = SyncScorer.load(sys.argv[2], protocol='lrs-lossless@1', device='cpu')\n"
        "score_run(scorer, find_clips([Path(sys.argv[1])]), Path(sys.argv[3]), on_record=stop)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(folder), str(narrow), str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(read_records(out)) == 3 and not (out / "summary.json").exists()
    with (out / "records.jsonl").open("a") as file:  # as if the kill had come in the middle of a line
        file.write('{"clip": "half')
    resumed = SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu", batch_size=1)
    score_run(resumed, find_clips([folder]), out)
    assert_same_run(plain, out)


def test_shards_merge_to_the_whole(folder: Path, scorer: SyncScorer, plain: Path, tmp_path: Path) -> None:
    listed = find_clips([folder])
    for index in (1, 2):
        part = score_run(scorer, listed, tmp_path / str(index), shard=Shard(index, 2), keep_windows=True)
        assert part.pending == 0
    summary = merge_runs([tmp_path / "1", tmp_path / "2"], tmp_path / "whole")
    assert summary.pending == 0
    assert_same_run(plain, tmp_path / "whole")
    assert len(list((tmp_path / "whole" / "windows").iterdir())) == 5
    half = merge_runs([tmp_path / "1"], tmp_path / "half")
    assert half.pending == 3, "a missing shard shows"
    with pytest.raises(UsageError, match="recorded twice"):
        merge_runs([tmp_path / "1", tmp_path / "1"], tmp_path / "double")
    with pytest.raises(UsageError, match="already holds"):
        merge_runs([tmp_path / "1"], tmp_path / "whole")


def test_runs_that_differ_are_never_joined(folder: Path, narrow: Path, plain: Path, tmp_path: Path) -> None:
    listed = find_clips([folder])
    resampled = SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu", fps_policy="resample")
    with pytest.raises(UsageError, match="fps_policy differs"):
        score_run(resampled, listed, plain)
    jpeg = SyncScorer.load(narrow, protocol="lrs@1", device="cpu")
    with pytest.raises(UsageError, match="(ffmpeg|protocol) differs"):
        score_run(jpeg, listed, plain)
    same = SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu")
    with pytest.raises(UsageError, match="list differs"):
        score_run(same, listed[:3], plain)
    with pytest.raises(UsageError, match="shard"):
        score_run(same, listed, plain, shard=Shard(1, 2))


def test_a_finished_run_is_not_scored_again(folder: Path, scorer: SyncScorer, plain: Path) -> None:
    before = (plain / "records.jsonl").read_bytes()
    score_run(scorer, find_clips([folder]), plain)
    assert (plain / "records.jsonl").read_bytes() == before


def test_two_processes_cannot_write_one_run(plain: Path) -> None:
    with open_records(plain), pytest.raises(UsageError, match="another process"), open_records(plain):
        pass


def test_damaged_records_are_named(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text(Record(clip="a", id="a", status="ok").model_dump_json() + "\n{}\n")
    with pytest.raises(UsageError, match=r"records.jsonl: line 2 is not a record \(clip"):
        read_records(tmp_path)
    line = Record(clip="a", id="a", status="ok").model_dump_json() + "\n"
    path.write_text(line * 2)
    with pytest.raises(UsageError, match="recorded twice"):
        read_records(tmp_path)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3", "-1/2"])
def test_shards_are_written_i_of_n(text: str) -> None:
    with pytest.raises(UsageError, match="i/n"):
        Shard.parse(text, {})


def test_evaluate_from_python(folder: Path, narrow: Path, plain: Path, tmp_path: Path) -> None:
    options = {"weights": narrow, "protocol": "lrs-lossless@1", "device": "cpu"}
    in_memory = evaluate(str(folder), **options)
    kept = evaluate([folder], out=tmp_path / "run", **options)
    stored = json.loads((plain / "summary.json").read_text())
    assert kept.summary.usage is not None and in_memory.summary == kept.summary.model_copy(update={"usage": None})
    assert to_json(kept.summary) | {"metrics": stored["metrics"], "usage": stored["usage"]} == stored
    assert len(in_memory.records) == 7 and in_memory.path is None and kept.path == tmp_path / "run"
    assert_same_run(plain, tmp_path / "run")


def test_a_changed_file_is_never_given_its_old_score(narrow: Path, tmp_path: Path) -> None:
    scorer = SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu")
    clip = clips.good(tmp_path / "clips" / "a.mp4", 0.4)
    score_run(scorer, find_clips([clip.parent]), tmp_path / "run")
    clips.good(clip, 0.4, seed=5)
    with pytest.raises(UsageError, match=r"a\.mp4 has changed since this run recorded it"):
        score_run(scorer, find_clips([clip.parent]), tmp_path / "run")


def test_odd_file_names_are_scored_and_recorded(narrow: Path, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, as old archives leave them, and characters that some readers take for a line end."""
    folder = tmp_path / "clips"
    clips.good(folder / "a.mp4", 0.4)
    (folder / "a.mp4").rename(Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4")))
    clips.good(folder / "a.mp4", 0.4)
    (folder / "a.mp4").rename(folder / "line\u2028end\u0085.mp4")
    scorer = SyncScorer.load(narrow, protocol="lrs-lossless@1", device="cpu")
    for _ in range(2):
        summary = score_run(scorer, find_clips([folder]), tmp_path / "run", keep_windows=True)
        assert summary.scored == summary.listed == 2
    assert {record.id for record in read_records(tmp_path / "run")} == {"caf%E9", "line%E2%80%A8end%C2%85"}


def test_a_network_that_gives_no_numbers_is_a_row(tmp_path: Path) -> None:
    network = SyncNet((4, 4, 4, 4, 4, 8), (4, 4, 4, 4, 4, 8))
    network.netfclip[3].bias.data.fill_(float("nan"))
    scorer = SyncScorer(network.eval(), weights_sha256="0" * 64, protocol="lrs-lossless@1", device="cpu")
    clips.good(tmp_path / "clips" / "a.mp4", 0.4)
    summary = score_run(scorer, find_clips([tmp_path / "clips"]), tmp_path / "run")
    assert summary.failed == {"error": 1}
    assert "NaN or Inf" in (read_records(tmp_path / "run")[0].reason or "")


def test_windows_cannot_be_asked_for_half_way(folder: Path, scorer: SyncScorer, tmp_path: Path) -> None:
    score_run(scorer, find_clips([folder]), tmp_path / "run")
    with pytest.raises(UsageError, match="begun without --keep-windows"):
        score_run(scorer, find_clips([folder]), tmp_path / "run", keep_windows=True)


@pytest.mark.parametrize("content", ["[]", "{", '{"schema": 1}', '{"schema": 9}'])
def test_damaged_run_files_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"run\.json: "):
        merge_runs([tmp_path / "run"], tmp_path / "out")
