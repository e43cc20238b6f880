"""`lse-bench verify`: planted edits are found and named, honest runs are left alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_bench
from commands import Ended, lse_bench_here
from described import write_summary_of
from tiny_bench import run_of

from lse_bench.runs.records import read_records
from lse_bench.runs.schema import Record
from lse_bench.storage import json_bytes
from lse_bench.weights.store import path_of
from lse_bench.weights.table import table

pytestmark = pytest.mark.command


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue("tiny_bench")
    return found


@pytest.fixture
def copy(bench: Path, tmp_path: Path) -> Path:
    """A copy that may be edited, with its own clips."""
    return tiny_bench.copy(bench, tmp_path / "out")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    path.write_bytes(json_bytes(change(content) or content))


def edit_record(run: Path, number: int = 0, **changes: Any) -> None:
    lines = (run / "records.jsonl").read_text().split("\n")
    record = json.loads(lines[number])
    record |= {name: value(record) if callable(value) else value for name, value in changes.items()}
    lines[number] = json.dumps(record)
    (run / "records.jsonl").write_text("\n".join(lines))


def rebuild_summary(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    records = read_records(run)
    write_summary_of(run / "summary.json", records, about["list"]["clips"], about["key"])


def forge(run: Path) -> None:
    """Records, curves, windows and summary, so that each follows from the others."""
    for number, record in enumerate(read_records(run)):
        path = run / "windows" / f"{record.id}.npz"
        with np.load(path) as held:
            rows = held["distances"].copy()
        rows[:, 15] -= 2.0
        np.savez_compressed(path, distances=rows)
        edit_record(run, number, **scores_of(rows, run))
    rebuild_summary(run)


def scores_of(rows: np.ndarray, run: Path) -> dict[str, Any]:
    from lse_bench.runs.directory import read_description
    from lse_bench.runs.follows import valid_scores
    from lse_bench.runs.outcomes import score_fields
    from lse_bench.sync.distance import graded
    from lse_bench.sync.distance import summarise as score

    plain = score(rows.astype(np.float64).mean(axis=0), np.full(31, np.nan), len(rows))
    found = score_fields(graded(plain, read_description(run).calibration))
    return found | valid_scores(rows.astype(np.float64))


def swap_fd_sync(out: Path) -> None:
    mine, real = ((out / "scores" / "mini" / name) for name in ("mine", "real"))
    (one,), (other,) = mine.glob("fd-sync-*.json"), real.glob("fd-sync-*.json")
    shutil.copyfile(other, one)


def drop_line(run: Path) -> None:
    lines = (run / "records.jsonl").read_text().splitlines(keepends=True)
    (run / "records.jsonl").write_text("".join(lines[1:]))


def swap_ids(run: Path) -> None:
    first, second = read_records(run)[:2]
    edit_record(run, 0, id=second.id, clip=second.clip)
    edit_record(run, 1, id=first.id, clip=first.clip)


def another_clip(out: Path) -> None:
    first, second, *_ = sorted(next((out / "videos" / "mini").glob("mine-*")).glob("*.mp4"))
    shutil.copyfile(first, second)


def other_windows(run: Path) -> None:
    first, second, *_ = sorted((run / "windows").glob("*.npz"))
    shutil.copyfile(first, second)


def bend_windows(run: Path) -> None:
    path = sorted((run / "windows").glob("*.npz"))[0]
    with np.load(path) as held:
        rows = held["distances"].copy()
    rows[3, 20] += 1
    np.savez_compressed(path, distances=rows)


def better(summary: dict[str, Any]) -> None:
    summary["metrics"]["lse_c"]["mean"] += 0.01


def surer(summary: dict[str, Any]) -> None:
    summary["metrics"]["lse_d"]["ci95"][0] += 1e-6


def rename(summary: dict[str, Any]) -> None:
    summary["tables"][0]["rows"][2]["method"] = "theirs"


def table_number(summary: dict[str, Any]) -> None:
    summary["tables"][0]["rows"][2]["metrics"]["lse_c"]["mean"] += 0.01


# What is done to a benchmark's folder, and a word of what verify says.
EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a digit of a record": (lambda o: edit_record(run_of(o), lse_c=lambda r: r["lse_c"] + 1e-6), "lse_c:"),
    "scores, with the summary": (
        lambda o: (
            edit_record(run_of(o), lse_c=lambda r: r["lse_c"] + 3, lse_d=lambda r: r["lse_d"] - 1),
            rebuild_summary(run_of(o)),
        ),
        "follows from its curve",
    ),
    "an offset": (lambda o: edit_record(run_of(o), offset=lambda r: r["offset"] + 1), "offset:"),
    "a distance at 0": (lambda o: edit_record(run_of(o), lse_d_at_0=4.0), "lse_d_at_0: 4.0"),
    "a valid score": (lambda o: edit_record(run_of(o), lse_c_valid=lambda r: r["lse_c_valid"] + 0.01), "lse_c_valid"),
    "a curve": (lambda o: edit_record(run_of(o), curve=lambda r: [x + 0.01 for x in r["curve"]]), "lse_d:"),
    "a curve and its scores": (
        lambda o: edit_record(
            run_of(o),
            curve=lambda r: [x + 0.01 for x in r["curve"]],
            lse_d=lambda r: r["lse_d"] + 0.01,
            lse_d_at_0=lambda r: r["lse_d_at_0"] + 0.01,
        ),
        "the mean of its windows",
    ),
    "a failure with scores": (lambda o: edit_record(run_of(o), status="no_face"), "no_face, but it has scores"),
    "an ok without scores": (lambda o: edit_record(run_of(o), curve=None), "a curve of 31 finite distances"),
    "a dropped line": (lambda o: drop_line(run_of(o)), "does not follow from records.jsonl"),
    "a dropped line, with the summary": (
        lambda o: (drop_line(run_of(o)), edit(run_of(o) / "run.json", lambda a: a["list"].update(clips=3)),
                   rebuild_summary(run_of(o))),
        "the list of clips",
    ),
    "a forged mean": (lambda o: edit(run_of(o) / "summary.json", better), "metrics.lse_c.mean"),
    "a forged interval": (lambda o: edit(run_of(o) / "summary.json", surer), "metrics.lse_d.ci95"),
    "a forged key": (
        lambda o: edit(run_of(o) / "summary.json", lambda s: s["key"].update(precision="bf16")), "comparison key"
    ),
    "a swapped fd-sync": (swap_fd_sync, "fd_sync: computed from other files"),
    "a changed clip": (another_clip, "the file is not the one that was scored"),
    "another digest": (lambda o: edit_record(run_of(o), sha256="0" * 64), "not the one that was scored"),
    "swapped names": (lambda o: swap_ids(run_of(o)), "not the one that was scored"),
    "another clip's windows": (lambda o: other_windows(run_of(o)), "mean of its windows"),
    "bent windows": (lambda o: bend_windows(run_of(o)), "mean of its windows"),
    "a renamed method": (lambda o: edit(o / "summary.json", rename), "called theirs on mini"),
    "another generator": (
        lambda o: edit(run_of(o) / "run.json", lambda a: a["generation"].update(generator="wav2lip")),
        "follows from generation.json",
    ),
    "a number of a table": (lambda o: edit(o / "summary.json", table_number), "does not follow from the runs"),
}  # fmt: skip


def verify(*arguments: object) -> Ended:
    return lse_bench_here("verify", *arguments)


def test_an_honest_benchmark_has_no_difference(bench: Path) -> None:
    ended = verify(bench, "--rescore", 2)
    assert ended.returncode == 0, ended.stdout
    assert "not verified" not in ended.stdout and "2 rescored" in ended.stdout
    found = json.loads(verify(bench, "--json").stdout)
    assert len(found) == 4 and not any(one["differences"] or one["unverified"] for one in found.values())
    assert found[str(run_of(bench))]["checked"] == {
        "records": 4,
        "summaries": 1,
        "fd_sync": 1,
        "windows": 4,
        "clips": 4,
    }
    assert found[str(bench)]["checked"] == {"tables": 1, "names": 3, "references": 3}


@pytest.mark.parametrize("name", EDITS)
def test_a_planted_edit_is_found(copy: Path, name: str) -> None:
    change, words = EDITS[name]
    change(copy)
    ended = verify(copy)
    assert ended.returncode == 1 and words in ended.stdout, ended.stdout + ended.stderr


def test_a_whole_forgery_is_found_by_scoring_again_only(copy: Path) -> None:
    for run in (copy / "scores" / "mini").glob("*/lrs-lossless@1-*"):
        forge(run)
    run = run_of(copy)
    alone = verify(run)
    assert alone.returncode == 0 and "were not forged together; --rescore N" in alone.stdout, alone.stdout
    ended = verify(run, "--rescore", 1)
    assert ended.returncode == 1 and "scored again it is" in ended.stdout


def test_a_forged_offset_is_found_by_scoring_again(copy: Path) -> None:
    """LSE-D, LSE-C and the distance at shift 0 stay; only the place of the minimum moves."""
    run = run_of(copy)
    for number, record in enumerate(read_records(run)):
        path = run / "windows" / f"{record.id}.npz"
        with np.load(path) as held:
            rows = held["distances"].copy()
        least = int(rows.mean(axis=0).argmin())
        if least == 15:
            continue
        other = 10 if least != 10 else 12
        rows[:, [least, other]] = rows[:, [other, least]]
        np.savez_compressed(path, distances=rows)
        edit_record(run, number, **scores_of(rows, run))
    rebuild_summary(run)
    assert verify(run).returncode == 0
    ended = verify(run, "--rescore", 4)
    assert ended.returncode == 1 and "offset is recorded as" in ended.stdout, ended.stdout


def test_what_older_versions_did_not_store_is_no_difference(copy: Path) -> None:
    (extra,) = (copy / "scores" / "mini" / "mine").glob("fd-sync-*.json")
    edit(extra, lambda content: content["generated"].pop("files_sha256") and content)
    shutil.rmtree(copy / "videos")
    ended = verify(copy)
    assert ended.returncode == 0, ended.stdout
    assert "not verified: fd_sync: made by an older version" in ended.stdout
    assert "not verified: the clips cannot be listed" in ended.stdout


def test_the_other_commands_refuse_edited_records(copy: Path, tmp_path: Path) -> None:
    """T4 and T5: neither a page, nor a collection, nor a comparison, nor a merged run is made of them."""
    run, real, unsynced = (run_of(copy, name) for name in ("mine", "real", "unsynced"))
    edit_record(run, lse_c=lambda r: r["lse_c"] + 3, lse_d=lambda r: r["lse_d"] - 1)
    rebuild_summary(run)
    for command in (
        ["leaderboard", "build", run, real, unsynced, "--out", tmp_path / "page"],
        ["leaderboard", "add", copy, "--out", tmp_path / "results"],
        ["compare", run, unsynced],
        ["merge", run, "--out", tmp_path / "merged"],
    ):
        ended = lse_bench_here(*command)
        assert ended.returncode == 2 and "follows from its curve" in ended.stderr, ended.stderr
    assert not (tmp_path / "page").exists() and not (tmp_path / "results").exists()


def test_a_borrowed_distance_is_refused(copy: Path, tmp_path: Path) -> None:
    swap_fd_sync(copy)
    ended = lse_bench_here("leaderboard", "add", copy, "--out", tmp_path / "results")
    assert ended.returncode == 2 and "fd_sync: computed from other files than this run's" in ended.stderr
    laid = tmp_path / "laid"
    shutil.copytree(run_of(copy), laid)
    shutil.copyfile(next((copy / "scores" / "mini" / "real").glob("fd-sync-*.json")), laid / "fd_sync.json")
    ended = lse_bench_here("leaderboard", "build", laid, "--out", tmp_path / "page")
    assert ended.returncode == 2 and "fd_sync: computed from other files" in ended.stderr


def test_videos_that_are_not_what_was_asked_for_are_not_added(copy: Path, tmp_path: Path) -> None:
    for path in (run_of(copy) / "run.json", next((copy / "videos" / "mini").glob("mine-*")) / "generation.json"):
        edit(path, lambda a: (a["generation"] if "list" in a else a).update(looked={"foreign_sound": 3}))
    ended = lse_bench_here("leaderboard", "add", copy, "--out", tmp_path / "results")
    assert ended.returncode == 2 and "3 videos have sound that is not the job's" in ended.stderr


def test_a_collection_is_verified_too(bench: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert lse_bench_here("leaderboard", "add", bench, "--out", results, "--clips", 1).returncode == 0
    assert len(list(results.rglob("fd_sync.json"))) == 3, "a benchmark's distances are taken along"
    ended = verify(results)
    assert ended.returncode == 0 and "1 copies" in ended.stdout, ended.stdout
    edit(results / "collection.json", lambda c: c["runs"][2].update(method="theirs"))
    assert "called theirs on mini" in verify(results).stdout
    video = next(results.rglob("clips/*.mp4"))
    video.write_bytes(video.read_bytes() + b"x")
    assert "not the file that was scored" in verify(results).stdout


def test_the_embedded_scorer_is_found_by_its_name(bench: Path) -> None:
    assert json.loads((run_of(bench) / "run.json").read_text())["weights"]["name"] == "syncnet-mini"
    assert path_of(table()["syncnet-mini"]).exists()
    assert isinstance(read_records(run_of(bench))[0], Record)


def test_tracked_runs_are_scored_again_with_their_detector(corpus: Path, tmp_path: Path) -> None:
    some = ["--weights", "syncnet-mini", "--protocol", "tracked", "--min-track", 20, "--out", tmp_path / "run"]
    assert lse_bench_here("score", corpus, *some).returncode == 0
    ended = verify(tmp_path / "run", "--rescore", 1)
    assert ended.returncode == 0 and "1 rescored" in ended.stdout, ended.stdout
    assert "nothing was scored again" not in ended.stdout
