"""Whole cards through the real command: measures of known worth, a kill, the attack, the pages."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from commands import lse_bench, lse_bench_here, with_path
from conftest import once

from lse_bench.damage.clips import NUISANCES
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.reliability.beside import read_card
from lse_bench.reliability.card import Card
from lse_bench.runs.read import read_run

pytestmark = pytest.mark.slow
PLUGINS = '''
import zlib

from lse_bench.measures.interface import Measure, Meter


class Perfect(Measure):
    """Knows the damage from the name of the copy."""

    name = "perfect"
    needs = frozenset({"frames", "sound"})
    higher_is_better = False

    def start(self, clip):
        return Knows(self.value(clip.id))

    def value(self, name):
        number = name.split("--")[0].rsplit("-", 1)[-1]
        return float(number) if number.replace(".", "").isdigit() else 0.0


class Inverted(Perfect):
    """Calls damage better."""

    name = "inverted"

    def value(self, name):
        return -super().value(name)


class Useless(Perfect):
    """Draws lots."""

    name = "useless"

    def value(self, name):
        return zlib.crc32(name.encode()) / 2**32


class Knows(Meter):
    def __init__(self, value):
        self.known = value

    def finish(self):
        return self.known
'''
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "lse-bench-known-worth"
version = "1.0"

[project.entry-points."lse_bench.measures"]
perfect = "known_worth:Perfect"
inverted = "known_worth:Inverted"
useless = "known_worth:Useless"

[tool.setuptools]
py-modules = ["known_worth"]
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips of 40 frames, of four people."""

    def make(out: Path) -> None:
        make_corpus(Spec(speakers=4, clips=1, seed=8, split="test", style="plain", frames=40), out, workers=1)

    return once(tmp_path_factory, "four", make) / "mvlrs_v1" / "main"


def test_measures_of_known_worth_get_the_cards_they_deserve(clips: Path, narrow: Path, tmp_path: Path) -> None:
    package, site = tmp_path / "package", tmp_path / "venv"
    package.mkdir()
    (package / "known_worth.py").write_text(PLUGINS)
    (package / "pyproject.toml").write_text(PROJECT)
    venv.create(site, with_pip=False)
    there = next((site / "lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", there, package], check=True, capture_output=True)
    command = [
        sys.executable,
        "-m",
        "lse_bench",
        "reliability",
        clips,
        "--weights",
        narrow,
        "--parts",
        "oracle",
        "--device",
        "cpu",
    ]
    command += ["--measures", "perfect,useless,inverted", "--clips", 3, "--out", tmp_path / "card", "--json"]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=with_path(there), check=False)
    assert ended.returncode == 0, ended.stderr
    card = read_card(tmp_path / "card")
    assert card == Card.model_validate_json(ended.stdout)
    assert card.clips == card.clusters == 3 and card.copies == len(read_run(tmp_path / "card" / "run").records)
    short = {"late-far", "early-far"}  # of 1.6 s, no clip can be delayed by more than 0.96 s
    worth = {"perfect": 1.0, "useless": 0.0, "inverted": -1.0}
    for row in card.seen:
        if row.damage in short:
            assert row.blind == "too few clips have a value at three steps"
            continue
        assert row.blind is None and row.per_clip.tau is not None and row.per_clip.ci95 is not None
        if row.measure == "useless":
            assert abs(row.per_clip.tau) < 1
        else:
            assert row.per_clip.tau == row.per_clip.ci95[0] == row.per_clip.ci95[1] == worth[row.measure]
    lots = [row.per_clip for row in card.seen if row.measure == "useless" and row.blind is None]
    inside = [one.ci95 is not None and one.ci95[0] <= 0 <= one.ci95[1] for one in lots]
    assert sum(inside) >= len(inside) - 2  # nine in ten kinds


@pytest.fixture(scope="module")
def attacked(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of two clips, with the attack."""

    def make(out: Path) -> None:
        words = ("--weights", "syncnet-mini", "--parts", "gaming", "--clips", 2, "--attacked", 2, "--device", "cpu")
        measures = ("--measures", "lse_d,lse_c,abs(offset_ms),psnr")
        ended = lse_bench_here("reliability", clips, *words, *measures, "--out", out)
        assert ended.returncode == 0, ended.stderr

    return once(tmp_path_factory, "attacked", make)


def test_the_attack_raises_confidence_and_psnr_exposes_nothing_it_cannot_see(attacked: Path) -> None:
    card = read_card(attacked)
    assert card.gaming is not None and card.gaming.bound == 10 and card.copies == 10
    rows = {row.measure: row for row in card.gaming.measures}
    lse_c, psnr = rows["lse_c"], rows["psnr"]
    assert lse_c.n == 2 and lse_c.rise is not None and lse_c.rise >= 0.5
    assert lse_c.real is not None and lse_c.unsynced is not None and lse_c.unsynced < lse_c.real
    assert psnr.real is not None and psnr.frozen is not None and psnr.attacked is not None
    assert psnr.attacked < psnr.frozen < psnr.real and not psnr.exposes  # its own tau was not measured


def test_a_killed_card_is_the_same(attacked: Path, clips: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    (again / "run").mkdir(parents=True)
    records = (attacked / "run" / "records.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (again / "run" / "run.json").write_bytes((attacked / "run" / "run.json").read_bytes())
    kept = [line for line in records if '"attacked' not in line][:6]
    (again / "run" / "records.jsonl").write_text("".join(kept) + records[-1][:40], encoding="utf-8")
    words = ("--weights", "syncnet-mini", "--parts", "gaming", "--clips", 2, "--attacked", 2, "--device", "cpu")
    measures = ("--measures", "lse_d,lse_c,abs(offset_ms),psnr")
    ended = lse_bench_here("reliability", clips, *words, *measures, "--out", again)
    assert ended.returncode == 0, ended.stderr
    cards = [json.loads((folder / "card.json").read_text()) for folder in (again, attacked)]
    assert [card.pop("command")[-1] for card in cards] == [str(again), str(attacked)]
    assert cards[0] == cards[1]
    assert (again / "card.tex").read_bytes() == (attacked / "card.tex").read_bytes()
    ended = lse_bench_here("reliability", clips, *words, "--measures", "lse_d", "--out", again)
    assert ended.returncode == 2 and "measures differs" in ended.stderr
    ended = lse_bench_here("reliability", clips, *words, *measures, "--bound", 2, "--out", again)
    assert ended.returncode == 2 and "list differs" in ended.stderr, "attacks of another bound are other copies"


def test_copies_with_the_same_picture_score_as_if_each_were_encoded(attacked: Path) -> None:
    """The plain copy's picture was encoded once; `none` and the clip itself differ by encoding only."""
    records = {record.id: record for record in read_run(attacked / "run").records}
    for name, record in records.items():
        assert record.status == "ok", record.reason
        if name.startswith("none--"):
            source = records[name.replace("none--", "source--")]
            assert record.offset == source.offset == 0 and abs((record.lse_d or 0) - (source.lse_d or 9)) < 0.5


def test_cards_stand_side_by_side_and_pages_hold_every_measure(attacked: Path, tmp_path: Path) -> None:
    ended = lse_bench_here("reliability", "compare", attacked, attacked / "card.json")
    assert ended.returncode == 0 and ended.stdout.count("| LSE-C (mini) ↑ |") == 2
    other = json.loads((attacked / "card.json").read_text()) | {"damage_version": 0}
    (tmp_path / "card.json").write_text(json.dumps(other))
    ended = lse_bench_here("reliability", "compare", attacked, tmp_path)
    assert ended.returncode == 2 and "damage versions 0, 1" in ended.stderr
    ended = lse_bench_here("reliability", "compare", tmp_path / "nowhere")
    assert ended.returncode == 2 and "no card" in ended.stderr
    page = (attacked / "card.html").read_text(encoding="utf-8")
    tables = (attacked / "card.tex").read_text(encoding="utf-8")
    for title in ("LSE-D (mini)", "LSE-C (mini)", "abs(offset_ms) (mini)", "psnr"):
        assert title in page and title.replace("_", r"\_") in tables
    assert "Small networks." in page and "<script" not in page


def test_wrong_words_are_told_before_any_work(clips: Path, narrow: Path, tmp_path: Path) -> None:
    def told(*words: object) -> str:
        ended = lse_bench_here("reliability", *words, "--weights", narrow, "--out", tmp_path / "out", "--device", "cpu")
        assert ended.returncode == 2 and not (tmp_path / "out").exists()
        return " ".join(ended.stderr.split())

    assert "no part called nuisances. Did you mean nuisance?" in told(clips, "--parts", "nuisances")
    assert "Did you mean lse_c" in told(clips, "--measures", "lse_cc")
    assert "not a run directory" in told(clips, "--method", f"a={tmp_path}")
    assert "a card needs 2 or more" in told(next(clips.rglob("*.mp4")))


def test_comparisons_and_tables_say_what_a_card_decides(
    attacked: Path, clips: Path, narrow: Path, tmp_path: Path
) -> None:
    def score(weights: Path | str, out: Path) -> None:
        options = ("--weights", weights, "--protocol", "lrs-lossless", "--device", "cpu", "--out", out)
        ended = lse_bench_here("score", clips, *options)
        assert ended.returncode == 0, ended.stderr

    score("syncnet-mini", tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    ended = lse_bench_here("compare", tmp_path / "a", tmp_path / "b", "--card", attacked)
    assert ended.returncode == 0 and "decided from" in ended.stdout and "reached" in ended.stdout, ended.stderr
    page = ("--out", tmp_path / "page", "--clips", 0, "--card", attacked)
    ended = lse_bench_here("leaderboard", "build", tmp_path / "a", tmp_path / "b", *page)
    assert ended.returncode == 0, ended.stderr
    table = (tmp_path / "page" / "tables" / "tables.md").read_text(encoding="utf-8")
    assert "the Reliability Card of syncnet-mini (2 clips): a and b (they differ by 0, of" in table
    _takes_runs_and_people(attacked, clips, tmp_path)
    score(narrow, tmp_path / "c")
    for command in (("compare", tmp_path / "c", tmp_path / "c"), ("leaderboard", "build", tmp_path / "c", *page[:4])):
        ended = lse_bench_here(*command, "--card", attacked)
        assert ended.returncode == 2 and "says nothing of" in ended.stderr


def _takes_runs_and_people(attacked: Path, clips: Path, folder: Path) -> None:
    """The card again, with runs of methods, the same clips scored again, and people's votes; no copy is made anew."""
    shutil.copytree(attacked, folder / "card")
    ids = sorted(record.id for record in read_run(folder / "a").records)
    rows = "".join(f"{one},a,b,3,1\n" for one in ids)
    (folder / "votes.csv").write_text("item,method_a,method_b,votes_a,votes_b\n" + rows)
    runs = ("--run", f"a={folder / 'a'}", "--run", f"b={folder / 'b'}")
    ended = lse_bench_here("study", "report", folder / "votes.csv", *runs, "--out", folder / "report")
    assert ended.returncode == 0, ended.stderr
    words = ("--weights", "syncnet-mini", "--parts", "gaming", "--clips", 2, "--attacked", 2, "--device", "cpu")
    beside = ("--method", f"a={folder / 'a'}", "--method", f"b={folder / 'b'}", "--again", f"twice={folder / 'a'}")
    measures = ("--measures", "lse_d,lse_c,abs(offset_ms),psnr", "--study", folder / "report" / "report.json")
    ended = lse_bench_here("reliability", clips, *words, *beside, *measures, "--out", folder / "card")
    assert ended.returncode == 0, ended.stderr
    card = read_card(folder / "card")
    assert card.copies == 10 and "--study" in card.command
    assert {(one.run, one.measure) for one in card.repeats} >= {("twice", "lse_d"), ("twice", "lse_c")}
    assert all(one.n == 2 and one.largest is not None and one.largest < 1e-9 for one in card.repeats)
    assert card.ceiling is not None and card.ceiling.share == 0.75 and card.ceiling.n == 4 * len(ids)
    assert {one.measure for one in card.people} == {"lse_d", "lse_c"} and not card.between  # the runs are equal
    page = (folder / "card" / "card.html").read_text(encoding="utf-8")
    assert "Repeatability" in page and "One person agrees with the majority of the others in 0.75" in page


@pytest.mark.command
def test_bad_files_cost_their_own_copies_in_several_processes(clips: Path, narrow: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for place, path in enumerate(sorted(clips.rglob("*.mp4"))[:2]):
        shutil.copy(path, folder / f"good{place}.mp4")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no film\n")
    good = next(folder.glob("good*.mp4"))
    (folder / "cut.mp4").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    words = ("--weights", narrow, "--parts", "nuisance", "--measures", "lse_d,psnr", "--devices", "cpu:2")
    ended = lse_bench("reliability", folder, *words, "--out", tmp_path / "card")
    assert ended.returncode == 0, ended.stderr
    assert "Exception ignored" not in ended.stderr and "Traceback" not in ended.stderr
    card = read_card(tmp_path / "card")
    copies = len(NUISANCES) + 1  # with the clip and its plain copy, which `written-again` compares
    assert card.clips == 5 and card.copies == 5 * copies and card.failed == {"unreadable": 3 * copies}
    assert {row.n for row in card.moved if row.measure == "lse_d"} == {2}
