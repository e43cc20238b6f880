"""Comparisons: paired differences against closed forms, ranks, coverage of intervals, refusals."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import lse_bench_here
from described import summary_of, write_summary_of
from scipy import stats

from lse_bench.errors import UsageError
from lse_bench.runs.agreement import disagreement
from lse_bench.runs.directory import read_description
from lse_bench.runs.read import read_run
from lse_bench.runs.records import open_records, read_records
from lse_bench.runs.schema import Record
from lse_bench.runs.statistics import Members, holm, mean_with_interval
from lse_bench.runs.summary import members_of
from lse_bench.storage import json_bytes
from lse_bench.stored import to_json
from lse_bench.tables.formats import csv_text, latex, long_frame, markdown, wide_frame
from lse_bench.tables.paired import ByteEqual, byte_equal, compare, difference, pairs_of, ranks
from lse_bench.tables.table import by_group, tables_of

ROOT = Path(__file__).parents[2]
KEY = {"protocol": "lrs-lossless@1", "weights_sha256": "0" * 64, "fps_policy": "require-25", "precision": "fp32"}


def record(clip: str, lse_c: float, *, lse_d: float = 8.0, offset: int = 0, **groups: str) -> Record:
    curve = [lse_d + lse_c] * 31
    curve[15 - offset] = lse_d
    scores = {"lse_d": lse_d, "lse_c": curve[0] - lse_d, "offset": offset, "lse_d_at_0": curve[15]}
    scores |= {"lse_d_valid": lse_d, "lse_c_valid": lse_c, "offset_valid": offset}
    return Record(clip=clip, id=clip, status="ok", curve=curve, seconds=3.0, groups=groups, **scores)  # type: ignore[arg-type]


def failed(clip: str) -> Record:
    return Record(clip=clip, id=clip, status="no_audio", reason="none")


def write_run(folder: Path, records: list[Record], method: str = "mine", **changes: object) -> Path:
    """A run directory as `score` leaves it."""
    folder.mkdir(parents=True)
    about = {
        "schema": 1, "kind": "score", "protocol": KEY["protocol"], "key": KEY,
        "list": {"clips": len(records), "sha256": "1" * 64},
        "weights": {"sha256": KEY["weights_sha256"], "name": None, "file": "w"}, "manifest_sha256": "2" * 64,
        "generation": {"generator": method, "key": {"package": "lse-bench 0", "weights_sha256": None},
                       "manifest": {"name": "pairs"}, "versions": {}},
        "versions": {"lse-bench": "0"}, "device": "cpu", "precision": "fp32", "command": [],
    }  # fmt: skip
    (folder / "run.json").write_bytes(json_bytes(about | changes))
    with open_records(folder) as append:
        for one in records:
            append(one)
    key: Any = changes.get("key", KEY)
    write_summary_of(folder / "summary.json", records, len(records), key)
    return folder


def test_a_paired_difference_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(5, 2, 30)  # clips differ far more than methods
    one = [record(f"{i}", float(hard[i] + rng.normal(0.3, 0.3))) for i in range(30)]
    two = [record(f"{i}", float(hard[i])) for i in range(30)]
    found = difference([*one, failed("x")], [failed("y"), *reversed(two)], "lse_c")
    expected = stats.ttest_rel([r.lse_c for r in one], [r.lse_c for r in two])
    assert found.estimate.p_value == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert found.estimate.n == 30
    assert found.better == "first"
    assert difference(two, one, "lse_c").better == "second"
    assert difference(one, two, "lse_d").better is None  # all equal
    assert difference(one, two, "offset").better is None  # an offset is neither better nor worse


def test_rounding_decides_nothing() -> None:
    """The same videos scored on another machine are neither better nor worse, however even the rounding is."""
    for size, better in ((1e-15, None), (2e-7, None), (1e-4, "first")):
        one = [record(f"{i}", 5.0 + size * (1 + 0.01 * i)) for i in range(5)]
        found = difference(one, [record(f"{i}", 5.0) for i in range(5)], "lse_c")
        assert found.better == better, size
    twice = {name: [record(f"{i}", 5.0 + size) for i in range(9)] for name, size in (("a", 0.0), ("b", 2e-7))}
    assert ranks(twice, "lse_c") == {"a": 1, "b": 1}


def test_files_that_are_equal_are_counted() -> None:
    def of(digests: dict[str, str | None]) -> list[Record]:
        return [record(name, 5.0).model_copy(update={"sha256": digest}) for name, digest in digests.items()]

    one = of({"a": "1", "b": "2", "c": "3", "d": None, "e": "5"})
    two = of({"e": "5", "a": "1", "b": "other", "c": None, "d": None})
    assert byte_equal(one, two) == ByteEqual(2, 3)
    assert byte_equal([], two) == ByteEqual(0, 0)


def test_a_pair_stands_against_its_untouched_source() -> None:
    real = [record(f"v{i}", 6.0 + i, video=f"v{i}") for i in range(4)]
    made = [record(f"v{i}+v{j}", 5.0 + i, video=f"v{i}", sound=f"v{j}") for i in range(4) for j in range(4) if i != j]
    assert [(a.id, b.id) for a, b in pairs_of(made, real)][:4] == [
        ("v0+v1", "v0"),
        ("v0+v2", "v0"),
        ("v0+v3", "v0"),
        ("v1+v0", "v1"),
    ]
    found = difference(made, real, "lse_c")
    assert (found.estimate.n, found.estimate.mean) == (12, -1.0)
    assert "dyadic" in found.estimate.ci_method
    turned = difference(real, made, "lse_c")
    assert turned.estimate.mean == 1.0
    assert turned.better == "first"


def test_sources_of_one_recording_are_not_guessed() -> None:
    real = [record("c1", 9.0, video="a"), record("c2", 1.0, video="a"), record("c3", 5.0, video="b")]
    made = [record("c1+s", 9.0, video="a", sound="s"), record("c3+s", 6.0, video="b", sound="s")]
    assert [(one.id, two.id) for one, two in pairs_of(made, real)] == [("c3+s", "c3")]


def sets(members: Members) -> list[set[str]]:
    return [{members.names[code] for code in row if code >= 0} for row in members.codes]


def test_results_of_one_speaker_are_not_independent() -> None:
    found = []
    for i in range(6):
        groups = {"video": f"v{i}", "sound": f"v{(i + 1) % 6}", "speaker": f"s{i // 2}"}
        found.append(record(f"v{i}+v{(i + 1) % 6}", float(i), **groups))  # type: ignore[arg-type]
    members = sets(members_of(found))
    assert members_of(found).unit == "speaker"
    assert members[0] == {"s0"} and members[1] == {"s0", "s1"} and members[5] == {"s2", "s0"}
    alone = sets(members_of([record("v1+x", 1.0, video="v1", sound="x", speaker="s0")]))
    assert alone == [{"s0", "clip x"}]
    assert members_of([record("a", 1.0), *found]).unit == "clip"
    summary = summary_of(found, 6, KEY)
    assert summary["metrics"]["lse_c"]["ci_method"] == "dyadic-robust over speakers, Student t"


def test_holm_is_holms() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_ranks_count_who_is_significantly_better() -> None:
    rng = np.random.default_rng(1)
    base = rng.normal(5, 2, 40)
    noise = {"a": 2.0, "b": 2.0, "c": 0.0}  # a and b differ by noise only
    methods = {
        name: [record(f"{i}", float(base[i] + shift + rng.normal(0, 0.5))) for i in range(40)]
        for name, shift in noise.items()
    }
    assert ranks(methods, "lse_c") == {"a": 1, "b": 1, "c": 3}
    assert ranks({"a": methods["a"]}, "lse_c") == {"a": 1}
    assert ranks(methods, "psnr", higher=True) == {}, "nobody has a value"


def test_intervals_cover_what_they_promise_where_clips_serve_twice() -> None:
    spec = importlib.util.spec_from_file_location("coverage", ROOT / "measurements" / "quality" / "coverage.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.coverage(400, seed=1)
    spread = 3 * math.sqrt(0.95 * 0.05 / 400)
    assert abs(found["dyadic-robust (ours)"] - 0.95) < spread
    assert found["clustered by picture"] < 0.85
    assert found["clustered by sound"] < 0.85
    assert found["naive"] < 0.6


def test_the_estimate_has_what_its_interval_is_made_of() -> None:
    found = mean_with_interval([1.0, 2.0, 4.0], Members.of(frozenset({c}) for c in "abc"))
    assert found.standard_error == pytest.approx(float(stats.sem([1.0, 2.0, 4.0])))
    assert found.freedom == 2
    assert mean_with_interval([3.0], Members.of([frozenset("a")])).p_value is None
    assert mean_with_interval([2.0, 2.0], Members.of([frozenset("a"), frozenset("b")])).p_value == 0.0


def test_two_runs_are_compared_by_the_command(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", [record("a", 3.0), record("b", 4.5), record("c", 6.0), failed("d")])
    two = write_run(tmp_path / "two", [record("a", 2.0), record("b", 3.4), record("c", 4.8), record("d", 1.0)])
    ended = lse_bench_here("compare", one, two, "--json")
    result = json.loads(ended.stdout)
    assert (result["both"], result["scored"], result["listed"]) == (3, [3, 4], [4, 4])
    assert result["metrics"]["lse_c"]["difference"] == pytest.approx(1.1)
    assert result["metrics"]["lse_c"]["better"] == "first"
    shown = lse_bench_here("compare", one, two)
    assert "3 clips that both scored" in shown.stdout and "+1.1000" in shown.stdout
    with pytest.raises(UsageError, match="share no clip"):
        compare(one, write_run(tmp_path / "other", [record("z", 1.0)]))


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"key": KEY | {"precision": "bf16"}}, "precision differs"),
        ({"key": KEY | {"weights_sha256": "f" * 64}}, "weights_sha256 differs"),
        ({"key": KEY | {"protocol": "lrs@1"}}, "protocol differs"),
        ({"manifest_sha256": "9" * 64}, "manifest_sha256 differs"),
    ],
)
def test_what_may_not_stand_together_is_refused_by_name(tmp_path: Path, changes: dict[str, object], field: str) -> None:
    one = write_run(tmp_path / "one", [record("a", 3.0)], "one")
    two = write_run(tmp_path / "two", [record("a", 2.0)], "two", **changes)
    with pytest.raises(UsageError, match=field):
        compare(one, two)
    with pytest.raises(UsageError, match=field):
        tables_of([read_run(one), read_run(two)])
    ended = lse_bench_here("leaderboard", "build", one, two, "--out", tmp_path / "page")
    assert (ended.returncode, field in ended.stderr) == (2, True)


def test_fid_of_another_kind_is_refused(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, [record("a", 3.0)], name) for name in ("one", "two")]
    for number, run in enumerate(runs):
        (run / "fid.json").write_text(json.dumps({"fid": 4.0, "kid": 0.1, "fid_id": f"fid@{number}"}))
    with pytest.raises(UsageError, match="fid of another fid_id"):
        tables_of([read_run(run) for run in runs])


def test_a_method_stands_once_in_a_table(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, [record("a", 3.0)]) for name in ("one", "two")]
    with pytest.raises(UsageError, match="both mine"):
        tables_of([read_run(run) for run in runs])


def test_tables_say_ranks_anchors_and_coverage(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)

    def pairs(level: float) -> list[Record]:
        found = []
        for i in range(20):
            groups = {"video": f"v{i}", "sound": f"v{(i + 1) % 20}", "speaker": f"s{i // 2}"}
            found.append(record(f"v{i}+v{(i + 1) % 20}", float(level + rng.normal(0, 0.2)), **groups))  # type: ignore[arg-type]
        return found

    runs = {
        "real": [record(f"v{i}", float(6 + rng.normal(0, 0.2)), video=f"v{i}") for i in range(20)],
        "unsynced": pairs(1.0), "good": [*pairs(7.0)[:-1], failed("v19+v0")], "poor": pairs(3.5),
    }  # fmt: skip
    entries = [read_run(write_run(tmp_path / name, found, name)) for name, found in runs.items()]
    (table,) = tables_of(entries)
    rows = {row.method: row for row in table.rows}
    assert [rows[name].rank["lse_c"] for name in runs] == [None, None, 1, 2]
    assert rows["good"].better_than_real["lse_c"] is True
    assert rows["poor"].better_than_real["lse_c"] is False
    assert rows["poor"].above_unsynced == pytest.approx(0.5, abs=0.05)
    assert rows["good"].failed == {"no_audio": 1}
    text = markdown(table)
    assert "19 of 20" in text and "*" in text and "better than real video" in text
    text = latex(table)
    assert all(
        part in text for part in (r"\toprule", r"\caption{pairs, lrs-lossless@1", r"\label{tab:pairs-lrs-lossless-1}")
    )
    assert text.count(r"\textbf{") == 2, "the best LSE-D and the best LSE-C of methods, no anchor"
    assert csv_text(wide_frame([table])).count("\n") == 5
    assert "pairs,lrs-lossless@1,,poor,lse_c," in csv_text(long_frame([table]))
    groups = by_group(entries[3].records, "speaker")
    assert list(zip(groups["group"], groups["scored"], strict=True)) == [(f"s{n}", 2) for n in range(9)] + [("s9", 2)]


def test_summaries_count_offsets_and_lengths() -> None:
    found = summary_of([record("a", 1.0, offset=-3), record("b", 1.0), record("c", 1.0)], 3, KEY)
    assert found["offsets"] == {"-3": 1, "0": 2}
    assert found["seconds"]["0.5"] == 3.0


def test_results_of_schema_1_stay_readable() -> None:
    run = ROOT / "tests" / "golden" / "runs" / "schema-1"
    entry = read_run(run)
    stored = json.loads((run / "summary.json").read_text())
    assert len(read_records(run)) == stored["listed"] == 3
    found = {name: to_json(entry.summary)[name] for name in stored} | {"schema": 1, "key": entry.description.key}
    assert disagreement(found, stored) is None
    assert entry.summary.key == entry.description.key | {"fps_policy": "25"}


def test_an_unknown_schema_is_refused_with_the_version_that_reads_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [record("a", 1.0)], schema=7, versions={"lse-bench": "9.1.0"})
    with pytest.raises(UsageError, match=r"schema 7.*reads schema 1 and 2.*lse-bench 9\.1\.0"):
        read_description(run)
