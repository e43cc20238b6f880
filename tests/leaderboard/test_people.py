"""People's judgement beside the measures of a leaderboard."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from commands import lse_bench_here
from made_runs import EVIL, write_run

from lse_bench.stored import write_stored
from lse_bench.study.folder import Study
from lse_bench.study.report import StudyReport, report_votes
from lse_bench.study.votes import Comparison, Rating, Votes
from measurements.quality.careless import made

METHODS = ("real", "Wav2Lip", EVIL)


def votes() -> Votes:
    """Twelve raters, who like `real` best; `sync` is better high, `creepiness` low, `formality` neither."""
    ratings, pairs = [], []
    for rater in range(12):
        for item in range(6):
            for place, method in enumerate(METHODS):
                wobble = ((rater + item + place) % 3) - 1
                for question, value in (("sync", 4 - place), ("creepiness", 2 + place), ("formality", 3)):
                    ratings.append(Rating(f"c{item}", method, f"r{rater}", question, value + wobble / 2))
            first, second = sorted(METHODS[:2])
            won = (rater + item) % 4 > 0
            pairs.append(Comparison(f"c{item}", first, second, int(not won), int(won), 0, f"r{rater}"))
            first, second = sorted(METHODS[1:])
            pairs.append(Comparison(f"c{item}", first, second, int(not won), int(won), 0, f"r{rater}"))
    return Votes("a" * 64, pairs, ratings, {"sync": "high", "creepiness": "low", "formality": "none"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("people")
    for number, (name, level) in enumerate({"real": 4.0, "Wav2Lip": 4.2, EVIL: 1.5, "LipGAN": 2.0}.items()):
        write_run(place / f"a{number}", name, "one", level)
        write_run(place / f"b{number}", name, "two", level)
    write_stored(place / "report.json", report_votes(votes()))
    study: Study = made("rating", 12, 2).model_copy(update={"manifest_sha256": "2" * 64})
    write_stored(place / "study.json", report_votes(votes(), study=study))
    return place


def built(folder: Path, out: Path, corpora: str, *people: str) -> tuple[int, str]:
    runs = [folder / f"{corpus}{n}" / "run" for corpus in corpora for n in range(4)]
    words = [word for one in people for word in ("--people", one)]
    ended = lse_bench_here("leaderboard", "build", *runs, *words, "--out", out, "--clips", 0)
    return ended.returncode, " ".join(ended.stderr.split())


def test_tables_say_what_people_think_and_that_it_is_people(folder: Path, tmp_path: Path) -> None:
    status, told = built(folder, tmp_path, "a", str(folder / "report.json"))
    assert status == 0, told
    text = (tmp_path / "tables" / "tables.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| method"))
    for title in ("people: sync ↑", "people: creepiness ↓", "people: formality |", "people: strength ↑"):
        assert title in head
    assert "people: judged by 12 raters, " in text
    (row,) = [line for line in text.splitlines() if line.startswith("| Wav2Lip")]
    assert " 3.00 ± " in row
    (row,) = [line for line in text.splitlines() if line.startswith("| LipGAN")]
    assert row.count("–") >= 4, "people did not judge it"
    with (tmp_path / "tables" / "long.csv").open() as file:
        rows = {(row["method"], row["measure"]): row for row in csv.DictReader(file)}
    report = StudyReport.model_validate_json((folder / "report.json").read_text())
    one = next(o for o in report.opinions if (o.method, o.question) == ("real", "sync"))
    found = rows["real", "people_sync"]
    assert one.ci95 is not None and one.mean is not None
    assert (float(found["value"]), float(found["low"]), int(found["n"])) == (one.mean, one.ci95[0], 72)
    assert rows["Wav2Lip", "people_strength"]["n"] == ""
    with (tmp_path / "tables" / "wide.csv").open() as file:
        wide = {row["method"]: row for row in csv.DictReader(file)}
    assert float(wide["real"]["people_sync"]) == one.mean and wide["LipGAN"]["people_sync"] == ""
    data = json.loads((tmp_path / "data.js").read_text().removeprefix("window.LSE_BENCH = ").rstrip(";\n"))
    columns = {column["name"]: column for column in data["tables"][0]["columns"]}
    assert columns["people_sync"]["higher"] is True and columns["people_creepiness"]["higher"] is False
    assert columns["people_formality"]["higher"] is None and "not a measure" in columns["people_sync"]["explained"]
    assert r"people: sync $\uparrow$" in (tmp_path / "tables" / "tables.tex").read_text()


def test_a_study_finds_the_tables_of_its_manifest(folder: Path, tmp_path: Path) -> None:
    status, told = built(folder, tmp_path, "ab", str(folder / "study.json"))
    assert status == 0, told
    assert (tmp_path / "tables" / "tables.md").read_text().count("judged by 12 raters") == 2


def test_a_report_that_fits_no_table_is_refused(folder: Path, tmp_path: Path) -> None:
    report = str(folder / "report.json")
    status, told = built(folder, tmp_path, "ab", report)
    assert status == 2 and "give --people CORPUS=" in told and "one, two" in told
    status, told = built(folder, tmp_path, "ab", f"two={report}")
    assert status == 0 and (tmp_path / "tables" / "tables.md").read_text().count("judged by 12 raters") == 1
    assert built(folder, tmp_path, "a", f"three={report}")[0] == 2
    status, told = built(folder, tmp_path, "a", report, report)
    assert status == 2 and "other people already" in told
    (tmp_path / "cut.json").write_text(Path(report).read_text()[:100])
    assert built(folder, tmp_path, "a", str(tmp_path / "cut.json"))[0] == 2
    other = Votes("b" * 64, ratings=[Rating("c", name, "r", "q", 1.0) for name in ("x", "y")])
    write_stored(tmp_path / "other.json", report_votes(other))
    status, told = built(folder, tmp_path, "a", str(tmp_path / "other.json"))
    assert status == 2 and "Name runs as the study names its methods" in told
