"""The demo through the real command, its report in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import lse_bench_here
from conftest import once

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    def make(folder: Path) -> None:
        folder.mkdir()
        result = lse_bench_here("demo", "--clips", "1", "--out", folder / "demo", "--json")
        assert result.returncode == 0, result.stderr
        (folder / "printed.json").write_text(result.stdout)

    folder = once(tmp_path_factory, "demo", make)
    return folder / "demo", json.loads((folder / "printed.json").read_text())


def test_the_scores_behave(demo: tuple[Path, dict]) -> None:
    _, rows = demo
    assert all(row["scored"] == row["listed"] == 8 for row in rows.values())
    confidence = {name: row["lse_c"]["mean"] for name, row in rows.items()}
    assert confidence["real"] > confidence["unsynced"] + 1
    assert confidence["unsynced"] > confidence["frozen"]
    assert confidence["wav2lip"] > confidence["unsynced"] + 0.5
    assert confidence["delayed"] > 0.8 * confidence["real"]
    fid = {name: row["fid"] for name, row in rows.items()}
    assert fid["real"] == pytest.approx(0, abs=1e-3) == fid["unsynced"]
    assert fid["blurred"] > fid["wav2lip"] > fid["frozen"] > 0
    assert rows["real"]["median_offset"] == 0
    assert rows["delayed"]["median_offset"] == -5
    assert abs(rows["real"]["fd_sync"]) < 1e-3
    assert rows["frozen"]["fd_sync"] > rows["blurred"]["fd_sync"] > 0.01


def test_each_set_is_a_run_directory(demo: tuple[Path, dict]) -> None:
    out, _ = demo
    for name in ("real", "unsynced", "wav2lip", "delayed", "blurred", "frozen"):
        run = json.loads((out / "runs" / name / "run.json").read_text())
        assert run["weights"]["name"] == "syncnet-mini"
        assert len((out / "runs" / name / "records.jsonl").read_text().splitlines()) == 8
    late = [json.loads(line)["offset"] for line in (out / "runs" / "delayed" / "records.jsonl").open()]
    assert sum(abs(offset + 5) <= 1 for offset in late) >= 7


def test_the_report_says_what_the_numbers_are(demo: tuple[Path, dict]) -> None:
    page = (demo[0] / "report.html").read_text()
    assert "Synthetic faces" in page
    assert "do not notice a delay" in page
    assert "FID (mini)" in page
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']https?:", page)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_shows_table_and_plot_and_plays_the_clips(demo: tuple[Path, dict]) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 844})  # a phone
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto((demo[0] / "report.html").as_uri())
        assert page.locator("tbody tr").count() == 6
        assert page.locator(".plot svg").bounding_box()["width"] > 300
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        videos = page.locator("video")
        assert videos.count() == 18
        page.evaluate(
            "Promise.all([...document.querySelectorAll('video')].map(v => v.readyState >= 1 ? 0 : "
            "new Promise((done, fail) => { v.onloadedmetadata = done; v.onerror = fail; })))"
        )
        lengths = page.evaluate("[...document.querySelectorAll('video')].map(v => v.duration)")
        assert all(2.9 < length < 3.3 for length in lengths)
        moved = page.evaluate(
            "new Promise((done, fail) => { const v = document.querySelector('video'); v.muted = true; "
            "v.ontimeupdate = () => v.currentTime > 0.05 && done(v.currentTime); v.play().catch(fail); })"
        )
        assert moved > 0
        first, second = page.locator("figure button").nth(0), page.locator("figure button").nth(1)
        assert "Pause" in first.inner_text()
        second.click()
        page.wait_for_function("document.querySelectorAll('video')[0].paused")
        assert "Play" in first.inner_text() and not page.locator("video[controls]").count()
        browser.close()
    assert not problems
