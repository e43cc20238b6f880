"""Votes from CSV files, and the report of `lse-bench study report` beside real runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clips import good
from commands import lse_bench_here

from lse_bench.errors import UsageError
from lse_bench.study.report import report_votes
from lse_bench.study.votes import read_votes

HEAD = "item,method A,method B,votes A,votes B,votes tie\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_order_of_two_methods_does_not_matter(tmp_path: Path) -> None:
    one = read_votes(written(tmp_path / "a.csv", HEAD + "x,m,n,3,1,0\ny,n,m,2,5,1\n"))
    other = read_votes(written(tmp_path / "b.csv", HEAD + "x,n,m,1,3,0\ny,m,n,5,2,1\n"))
    assert one.comparisons == other.comparisons
    assert one.raters is None and one.items == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "x,m,n,3,1,0\ny,m,n,-2,5,1\n", "row 3, column votes_a: '-2'"),
        (HEAD + "x,m,n,3,1.5,0\n", "row 2, column votes_b: '1.5'"),
        (HEAD + "x,m,n,3,9999999,0\n", "row 2, column votes_b"),
        (HEAD + "x,m,m,3,1,0\n", "row 2, column method_b: 'm' is also method_a"),
        (HEAD + ",m,n,3,1,0\n", "row 2, column item"),
        (HEAD + "x,m,n,3,1\n", "row 2: 5 values, but there are 6 columns"),
        (HEAD + "x,m,n,0,0,0\n", "row 2, column votes_a"),
        (HEAD + "x,m,n,3,1,0\nx,n,m,1,3,0\n", "stands in two rows"),
        ("item,method_a,method_b,votes_a\nx,m,n,3\n", "row 1: there is no column votes_b"),
        ("item,item,method\n", "row 1: two columns are called item"),
        ("item,method,rater,question,value\nx,m,r,q,good\n", "row 2, column value: 'good' is no number"),
        ("item,method,rater,question,value\nx,m,r,q,nan\n", "row 2, column value: 'nan'"),
        ("item,method,rater,question,value\nx,m,r,q,1e308\n", "row 2, column value: '1e308'"),
        ("item,method,rater,question,value\nx,m,r,q,1\n", "votes on 1 methods"),
        (HEAD + "".join(f"x,m{n},m{n + 1},1,0,0\n" for n in range(100)), "votes on 101 methods; at most 100"),
        ('item,method,rater,question,value\n"x,m,r,q,1\n', "not a CSV file"),
        ("", "row 1: there is no column item"),
    ],
)
def test_an_ill_formed_file_is_refused_with_row_and_column(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_votes(written(tmp_path / "votes.csv", text))
    assert told in str(raised.value)


def test_alpha_is_that_of_the_published_example(tmp_path: Path) -> None:
    """Krippendorff, "Computing Krippendorff's alpha-reliability", 2011: 12 units, 4 observers; interval 0.849."""
    data = (
        "1 2 3 3 2 1 4 1 2 * * *",
        "1 2 3 3 2 2 4 1 2 5 * 3",
        "* 3 3 3 2 3 4 2 2 5 1 *",
        "1 2 3 3 2 4 4 1 2 5 1 *",
    )
    rows = ["item,method,rater,question,value"]
    for rater, line in enumerate(data):
        rows += [f"u{n // 2},m{n % 2},r{rater},q,{v}" for n, v in enumerate(line.split()) if v != "*"]
    report = report_votes(read_votes(written(tmp_path / "votes.csv", "\n".join(rows) + "\n")))
    assert report.alpha["q"] == pytest.approx(0.849, abs=5e-4)


def sixty(runs: dict[str, dict[str, float]], seed: int = 0) -> str:
    """60 comparisons with 15 votes each over four methods; people follow LSE-C with some noise."""
    rng, rows = np.random.default_rng(seed), [HEAD.strip()]
    names = sorted(runs)
    couples = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]]
    for item in [f"c{n}" for n in range(10)]:
        for a, b in couples:
            chance = 1 / (1 + np.exp(-3 * np.sign(runs[a][item] - runs[b][item])))
            ties = int(rng.binomial(15, 0.1))
            first = int(rng.binomial(15 - ties, chance))
            rows.append(f"{item},{a},{b},{first},{15 - ties - first},{ties}")
    return "\n".join(rows) + "\n"


@pytest.mark.slow
def test_sixty_comparisons_of_four_methods_are_reported_beside_runs(tmp_path: Path, narrow: Path) -> None:
    values = {}
    for seed, method in enumerate(("one", "two", "three", "=four")):
        folder = tmp_path / f"m{seed}"
        for n in range(10):
            good(folder / f"c{n}.mp4", seed=10 * seed + n)
        ended = lse_bench_here(
            *("score", folder, "--weights", narrow, "--protocol", "lrs-lossless", "--out", tmp_path / f"run{seed}")
        )
        assert ended.returncode == 0, ended.stderr
        lines = (tmp_path / f"run{seed}" / "records.jsonl").read_text().splitlines()
        values[method] = {record["id"]: record["lse_c"] for record in map(json.loads, lines)}
    votes = written(tmp_path / "votes.csv", sixty(values))
    named = [
        word
        for seed, method in enumerate(values)
        if not method.startswith("=")
        for word in ("--run", f"{method}={tmp_path / f'run{seed}'}")
    ]
    ended = lse_bench_here("study", "report", votes, *named, "--out", tmp_path / "report", "--json")
    assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert report == json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["votes"] == 900 and report["items"] == 10 and report["raters"] is None
    assert {"python", "scipy", "krippendorff"} <= set(report["versions"])
    assert len(report["strengths"]) == 4 and all(one["ci95"] for one in report["strengths"])
    by_name = {one["measure"]: one for one in report["measures"]}
    lse_c = by_name["lse_c"]["pairs"]
    assert lse_c["n"] + lse_c["without_majority"] + lse_c["without_value"] == 60
    assert lse_c["n"] == 30 - lse_c["without_majority"] and lse_c["share"] > 0.9  # three of four methods have runs
    assert by_name["lse_c"]["methods"]["n"] == 3 and by_name["lse_c"]["methods"]["spearman_ci95"] is None
    ended = lse_bench_here("study", "report", votes, "--run", f"five={tmp_path / 'run0'}", "--out", tmp_path / "other")
    assert ended.returncode == 2 and "no method five; there are: " in ended.stderr
    page = (tmp_path / "report" / "report.md").read_text()
    assert "| lse_c |" in page and "fewer than 8 methods" in page


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lse_bench.versions.find_spec", lambda name: None)
    votes = written(tmp_path / "votes.csv", HEAD + "x,m,n,3,1,0\n")
    ended = lse_bench_here("study", "report", votes, "--out", tmp_path / "report")
    assert ended.returncode == 2 and "pip install 'lse-bench[study]'" in " ".join(ended.stderr.split())
    assert not (tmp_path / "report").exists()


def test_a_run_without_a_name_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "votes.csv", HEAD + "x,m,n,3,1,0\n")
    ended = lse_bench_here("study", "report", tmp_path / "votes.csv", "--run", "m", "--out", tmp_path / "report")
    assert ended.returncode == 2 and "NAME=VALUE" in ended.stderr
