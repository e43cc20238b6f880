"""The leaderboard: built from records alone, and its page in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import lse_bench_here
from described import write_summary_of
from made_runs import EVIL, KEY, SHA, write_run

from lse_bench.errors import UsageError
from lse_bench.leaderboard.build import build
from lse_bench.leaderboard.submit import add
from lse_bench.runs.schema import Record
from lse_bench.tables import escape

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    levels = {"real": 4.0, "unsynced": 1.0, "Wav2Lip": 4.2, "LipGAN": 2.0, EVIL: 1.5}
    found = [
        write_run(folder / f"a{n}", name, "one", level, playable=True) for n, (name, level) in enumerate(levels.items())
    ]
    found += [
        write_run(folder / f"b{n}", name, "two", level) for n, (name, level) in enumerate(list(levels.items())[:3])
    ]
    return [*found, write_run(folder / "c", "Wav2Lip", "two", 3.0, protocol="lrs@1")]


@pytest.fixture(scope="module")
def page(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page")
    for run in runs:
        (run / "fd_sync.json").write_text(json.dumps({"fd_sync": 1.5, "key": {"a": "b"}, "warnings": []}))
    written = build([str(run) for run in runs], out, clips=2, title="A test")
    assert (written["tables"], written["rows"], written["clips"]) == (3, 9, 2)
    return out


def test_tables_and_plots_are_files_of_their_own(page: Path) -> None:
    assert (page / "tables" / "wide.csv").read_text().count("\n") == 10
    assert "| Wav2Lip | " in (page / "tables" / "tables.md").read_text()
    names = {path.stem for path in (page / "plots").glob("*.svg")}
    assert {"curve-0", "offsets-0", "quality-0", "lse_c-0", "lse_d-0", "lse_c-1"} <= names
    assert "https://" not in (page / "index.html").read_text() + (page / "page.js").read_text()


def test_the_same_records_give_the_same_files(page: Path, runs: list[Path], tmp_path: Path) -> None:
    build([str(run) for run in runs], tmp_path, clips=2, title="A test")
    files = [path.relative_to(page) for path in page.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert all((tmp_path / name).read_bytes() == (page / name).read_bytes() for name in files)


def test_a_run_can_get_another_name(runs: list[Path], tmp_path: Path) -> None:
    ended = lse_bench_here(
        "leaderboard", "build", runs[0], runs[1], f"ours={runs[2]}", "--out", tmp_path, "--clips", 0, "--json"
    )
    assert ended.returncode == 0, ended.stderr
    assert ",ours,6,6," in (tmp_path / "tables" / "wide.csv").read_text()
    assert lse_bench_here("leaderboard", "build", tmp_path, "--out", tmp_path / "p").returncode == 2


@pytest.mark.parametrize("name", [r"a $\lipsync$", "a|b", "_ours", "a^~{}", "@ours"])
def test_any_name_of_a_method_is_shown(tmp_path: Path, name: str) -> None:
    runs = [write_run(tmp_path / method, method, "c", 2.0 + n) for n, method in enumerate(("real", "unsynced", "mine"))]
    build([f"{name}={runs[2]}", *map(str, runs[:2])], tmp_path / "page", clips=0)
    tables, plots = tmp_path / "page" / "tables", tmp_path / "page" / "plots"
    lines = (tables / "tables.md").read_text().split("\n")
    (line,) = [row for row in lines if row.startswith(f"| {escape.markdown(name)} |")]
    head = next(row for row in lines if row.startswith("| method"))
    assert line.replace("\\|", "").count("|") == head.count("|")
    assert escape.latex(name) in (tables / "tables.tex").read_text()
    assert f"{escape.plot(name)}</text>" in (plots / "curve-0.svg").read_text()


def test_a_submission_is_copied_and_gives_the_same_tables(runs: list[Path], page: Path, tmp_path: Path) -> None:
    chosen = [str(run) for run in runs[:5]]
    added = add(chosen, tmp_path / "results", clips=2)
    assert (added["runs"], added["clips"]) == (5, 10)
    build([str(tmp_path / "results")], tmp_path / "page", clips=2)
    wide = (page / "tables" / "wide.csv").read_text().splitlines()[:6]
    assert (tmp_path / "page" / "tables" / "wide.csv").read_text().splitlines() == wide
    assert len(list((tmp_path / "page" / "clips").rglob("*.mp4"))) == 10
    with pytest.raises(UsageError, match="already holds"):
        add(chosen, tmp_path / "results")


def test_a_repeated_run_says_how_many_files_are_the_same(runs: list[Path], tmp_path: Path) -> None:
    first, again = tmp_path / "results" / "first", tmp_path / "results" / "again"
    chosen = [str(run) for run in runs[:3]]
    assert add(chosen, first)["repeats"] == []
    other = tmp_path / "other"
    shutil.copytree(runs[2], other)
    lines = [json.loads(line) for line in (other / "records.jsonl").read_text().splitlines()]
    lines[0]["sha256"] = "f" * 64  # made on another processor
    (other / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    repeats = add([*chosen[:2], str(other)], again)["repeats"]
    assert [(row["method"], row["byte_equal"], row["of"]) for row in repeats] == [
        ("real", len(lines), len(lines)),
        ("unsynced", len(lines), len(lines)),
        ("Wav2Lip", len(lines) - 1, len(lines)),
    ]
    assert {row["collection"] for row in repeats} == {str(first)}


def test_a_damaged_collection_beside_it_stops_nothing(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "collection.json").write_text('{"kind": "coll')
    (row,) = add([str(run) for run in runs[:2]], tmp_path / "mine")["repeats"]
    assert row["collection"] == str(tmp_path / "damaged") and "damaged" in row["problem"]
    assert (tmp_path / "mine" / "collection.json").exists()


def test_names_are_for_methods_of_ones_own(runs: list[Path], tmp_path: Path) -> None:
    for argument, reason in (
        (f"mine={runs[0]}", "keep their names"),
        (f"real={runs[2]}/", "keep their names"),
        (f"mine={tmp_path}", "only a run directory"),
    ):
        with pytest.raises(UsageError, match=reason):
            build([argument], tmp_path / "page")


def test_a_clip_that_changed_since_is_not_shown(runs: list[Path], tmp_path: Path) -> None:
    shutil.copytree(runs[2].parent, tmp_path / "moved")
    about = json.loads((tmp_path / "moved" / "run" / "run.json").read_text())
    about["source"]["inputs"] = [str(tmp_path / "moved" / "videos")]
    (tmp_path / "moved" / "run" / "run.json").write_text(json.dumps(about))
    video = next((tmp_path / "moved" / "videos").glob("*.mp4"))
    (video.parent / "v9+v9.mp4").write_bytes(video.read_bytes())  # not scored: not shown
    video.write_bytes(b"another")
    with pytest.raises(UsageError, match="is not the file that was scored"):
        build([str(tmp_path / "moved" / "run")], tmp_path / "page")
    video.unlink()
    build([str(tmp_path / "moved" / "run")], tmp_path / "page")
    assert not list((tmp_path / "page").rglob("v9+v9.mp4"))


def test_a_submission_that_cannot_be_trusted_is_refused_with_all_reasons(runs: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(runs[3], cut)
    lines = (cut / "records.jsonl").read_text().splitlines(keepends=True)
    (cut / "records.jsonl").write_text("".join(lines[1:]))
    kept = [Record.model_validate_json(line) for line in lines[1:]]
    write_summary_of(cut / "summary.json", kept, len(kept), KEY)
    with pytest.raises(UsageError, match="6 clips were to be scored, the summary is of 5"):
        add([str(cut), str(runs[0])], tmp_path / "results")
    forged = tmp_path / "forged"
    shutil.copytree(runs[2], forged)
    summary = json.loads((forged / "summary.json").read_text())
    summary["metrics"]["lse_c"]["mean"] += 1
    (forged / "summary.json").write_text(json.dumps(summary))
    about = json.loads((forged / "run.json").read_text())
    (forged / "run.json").write_text(json.dumps(about | {"precision": "bf16"}))
    with pytest.raises(UsageError) as caught:
        add([str(forged), str(runs[0])], tmp_path / "results")
    for reason in (
        "summary.json does not follow from records.jsonl: metrics.lse_c.mean",
        "bf16",
        "no row called unsynced",
    ):
        assert reason in str(caught.value)
    assert not (tmp_path / "results").exists()


@pytest.fixture
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.mark.browser
def test_a_browser_sorts_filters_plays_and_shows_provenance(browser: object, page: Path) -> None:
    for width, scheme in ((1280, "light"), (390, "dark")):
        shown = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[attr-defined]
        problems: list[str] = []
        asked: list[str] = []
        shown.on("pageerror", lambda error, seen=problems: seen.append(str(error)))
        shown.on(
            "console", lambda message, seen=problems: seen.append(message.text) if message.type == "error" else None
        )
        shown.on("requestfailed", lambda request, seen=problems: seen.append(request.url))
        shown.on("request", lambda request, seen=asked: seen.append(request.url))
        shown.on("dialog", lambda dialog, seen=problems: seen.append(dialog.message))
        shown.goto((page / "index.html").as_uri())
        assert shown.title() == "A test"
        assert shown.locator("#tables table").count() == 3
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        first = shown.locator("#tables table").first
        assert first.locator("tbody th").all_inner_texts() == ["real", "unsynced", "Wav2Lip", "LipGAN", EVIL]

        # Sorted by the keyboard: the best first, then the worst.
        by_confidence = first.get_by_role("button", name="LSE-C")
        by_confidence.press("Enter")
        assert first.locator("tbody th").first.inner_text() == "Wav2Lip"
        assert first.locator("th[aria-sort=descending]").count() == 1
        by_confidence.press("Enter")
        assert first.locator("tbody th").all_inner_texts() == ["unsynced", EVIL, "LipGAN", "real", "Wav2Lip"]
        first.get_by_role("button", name="LSE-D").press("Enter")
        assert first.locator("th[aria-sort=ascending]").count() == 1, "lower is better"

        # What a reader came for is in sight: coverage on a desk, the two scores on a telephone.
        seen = ("LSE-D", "LSE-C", "scored") if width == 1280 else ("LSE-D", "LSE-C")
        for name in seen:
            box = first.get_by_role("button", name=name).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, name

        shown.select_option("#corpus", "two")
        assert shown.locator("#tables table").count() == 2
        assert shown.locator(".pair:visible").count() == 0
        shown.select_option("#protocol", "lrs@1")
        assert shown.locator("#tables tbody tr").count() == 1
        shown.select_option("#corpus", "one")
        assert "No table" in shown.locator("#tables").inner_text()
        shown.select_option("#protocol", "all")
        shown.uncheck("#anchors")
        assert shown.locator("#tables tbody tr").count() == 3

        shown.get_by_role("button", name="Wav2Lip", exact=True).press("Enter")
        dialog = shown.locator("#provenance")
        assert "Wav2Lip on one" in dialog.inner_text() and str(SHA) in dialog.inner_text()
        shown.keyboard.press("Escape")
        assert not dialog.is_visible()

        moved = shown.evaluate(
            "new Promise((done, fail) => { const v = document.querySelector('video'); v.muted = true; "
            "v.ontimeupdate = () => v.currentTime > 0.05 && done(v.currentTime); v.play().catch(fail); })"
        )
        assert moved > 0
        drawn = "[...document.querySelectorAll('canvas')].map(c => c.width)"
        assert len(shown.evaluate(drawn)) == 10 and all(shown.evaluate(drawn))
        assert not problems
        assert all(url.startswith((page.as_uri(), "data:")) for url in asked)
        shown.close()


def test_the_page_does_not_grow_with_the_clips(tmp_path: Path) -> None:
    """At 28,000 pairs: `measurements/speed/leaderboard.py` has the seconds."""
    sizes = []
    for clips in (6, 300):
        build(
            [str(write_run(tmp_path / str(clips), "Wav2Lip", "LRS2", 3.0, clips))], tmp_path / f"page{clips}", clips=0
        )
        sizes.append((tmp_path / f"page{clips}" / "data.js").stat().st_size)
    assert sizes[1] < sizes[0] + 200
