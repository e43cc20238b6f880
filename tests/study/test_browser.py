"""Whole studies in Chromium, at desktop and at phone width and without a server."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from commands import lse_bench, lse_bench_here
from conftest import once
from studies import served

from lse_bench.errors import UsageError
from lse_bench.manifests.manifest import Manifest, job_of, write_manifest
from lse_bench.reporting import Report
from lse_bench.study.answers import Answers
from lse_bench.study.folder import ANSWERS_FILE, Study, read_study
from lse_bench.tasks.studies import import_answers

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.network,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]
PLATFORM = "https://app.prolific.com"
METHODS = ("real", "unsynced", "wav2lip")


def make(place: Path, corpus: Path) -> None:
    place.mkdir()
    files = sorted(path.relative_to(corpus) for path in (corpus / "mvlrs_v1").rglob("*.mp4"))[:7]
    ids = [path.with_suffix("").as_posix().removeprefix("mvlrs_v1/main/") for path in files]
    jobs = tuple(job_of(ids[n], ids[n - 3], files[n].as_posix(), files[n - 3].as_posix()) for n in range(len(files)))
    write_manifest(Manifest(name="seven", corpus="minilrs", root=str(corpus), jobs=jobs), place / "pairs.json")
    words = ["--manifest", place / "pairs.json", "--out", place / "wav2lip", "--weights", "wav2lip-mini"]
    ended = lse_bench_here("generate", "wav2lip", *words)
    assert ended.returncode == 0, ended.stderr
    words = ["--manifest", place / "pairs.json", "--method", f"wav2lip={place / 'wav2lip'}", "--clips", 6]
    words += ["--trials", 6, "--raters", 4, "--longest", 1, "--static"]
    words += ["--completion-code", "C0DE", "--completion-url", PLATFORM + "/submissions/complete?cc={code}"]
    for preset in ("rating", "wav2lip-paper"):
        ended = lse_bench_here("study", "create", *words, "--preset", preset, "--out", place / preset)
        assert ended.returncode == 0, ended.stderr


def test_studies_in_a_browser(corpus: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """The three at once, since raters mostly wait for the ends of clips."""
    made = once(tmp_path_factory, "browser_study", lambda place: make(place, corpus))
    tasks = {a_study_on_a_desk: "wav2lip-paper", a_study_on_a_phone: "rating", a_study_from_plain_files: "rating"}

    def run(task: Callable[[Path, Any, Path], None], preset: str) -> None:
        from playwright.sync_api import sync_playwright

        place = tmp_path / task.__name__
        folder = Path(shutil.copytree(made / preset, place / "study"))
        with sync_playwright() as playwright:
            task(folder, playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]), place)

    with ThreadPoolExecutor(len(tasks)) as pool:
        running = {task.__name__: pool.submit(run, task, preset) for task, preset in tasks.items()}
    failed = {name: one.exception() for name, one in running.items() if one.exception() is not None}
    if failed:
        raise ExceptionGroup(", ".join(failed), [error for error in failed.values() if isinstance(error, Exception)])


class Watched:
    """A page with all that it asks for and complains about."""

    def __init__(self, browser: Any, width: int, height: int, touch: bool) -> None:
        context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch, accept_downloads=True
        )
        self.page = context.new_page()
        self.touch = touch
        self.problems: list[str] = []
        self.urls: list[str] = []
        self.headers: list[str] = []
        self.page.on("console", lambda told: self.problems.append(f"console: {told.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", lambda request: self.urls.append(request.url))
        self.page.on("response", lambda response: self.headers.append(json.dumps(response.headers)))
        self.page.on("requestfailed", self._failed)

    def _failed(self, request: Any) -> None:
        # Chromium drops a clip's request when it has enough of it, or when the page is left.
        if request.failure != "net::ERR_ABORTED" or request.resource_type != "media":
            self.problems.append(f"failed: {request.url} {request.failure}")

    def press(self, target: Any) -> None:
        if self.touch:
            target.tap()
        else:
            target.click()

    def fits(self) -> bool:
        return self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def play_all(watched: Watched, stage: Any, by_keyboard: bool) -> None:
    clips = stage.locator(".clip .play")
    for number in range(clips.count()):
        if by_keyboard:
            watched.page.keyboard.press("Space")
        else:
            watched.press(clips.nth(number))
        clips.nth(number).and_(watched.page.locator(".done")).wait_for(timeout=20_000)


def answer(watched: Watched, study: Study, stage: Any, by_keyboard: bool) -> None:
    """Answer a stage whose clips were played."""
    kinds, page = stage.get_attribute("class"), watched.page
    if "sound" in kinds:
        name = re.search(r"(\w{16})\.mp4", stage.locator("video").first.get_attribute("src"))
        beeps = study.clip(name[1]).method  # type: ignore[index]
        keys, fields = [beeps], [("beeps", beeps)]
    elif "rating" in kinds:
        keys = ["4", "3", "5"]
        fields = [(question.id, key) for question, key in zip(study.sheet.questions, keys, strict=True)]
    elif "pair" in kinds:
        keys, fields = ["b"], [("preference", "right")]
    else:
        keys, fields = [], [("trouble", "1")] if "between" in kinds else []
    if by_keyboard and keys:
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("Enter")
    else:
        for name, value in fields:
            watched.press(stage.locator(f"input[name={name}][value='{value}']"))
        watched.press(stage.locator("button.send"))


def current(page: Any) -> Any:
    return page.locator("section.stage:visible, section.message:visible").first


def go_through(watched: Watched, study: Study, by_keyboard: bool, most: int = 100) -> list[str]:
    """Answer up to `most` stages; returns the ids of those that were answered."""
    seen: list[str] = []
    for _ in range(most):
        stage = current(watched.page)
        name = stage.get_attribute("id")
        if "message" in stage.get_attribute("class") or name == "save":
            break
        seen.append(name)
        play_all(watched, stage, by_keyboard)
        answer(watched, study, stage, by_keyboard)
        watched.page.wait_for_function(
            "name => { const one = document.querySelector('section.stage:not([hidden]), section.message');"
            " return one && one.id !== name && document.readyState === 'complete'; }",
            arg=name,
        )
        assert watched.fits(), f"{name} is wider than the screen"
    return seen


def expected(study: Study, plan: int, static: bool = False) -> list[str]:
    return [
        "consent",
        "sound1",
        "sound2",
        *(["sound3"] if static else []),
        "example",
        *(step.id for step in study.plans[plan]),
    ]


def reveals_nothing(watched: Watched, pages: list[str]) -> None:
    text = " ".join([*pages, *watched.urls, *watched.headers]).lower()
    for word in (*METHODS, "desync", "attention", "repeat", "mvlrs", "minilrs"):
        assert not re.search(rf"[\"/=>\s]{word}[\"/=<\s._-]", text.replace("minilrs: ", "")), word


def a_study_on_a_desk(folder: Path, browser: Any, tmp_path: Path) -> None:
    """Ratings and comparisons, with the keyboard, from Prolific; the browser is closed on the way."""
    study = read_study(folder)
    with served(folder) as client:
        base = str(client.base_url).rstrip("/")
        watched = Watched(browser, 1280, 900, touch=False)
        page = watched.page
        page.goto(f"{base}/?PROLIFIC_PID=5f0c&STUDY_ID=60a1&SESSION_ID=77b2")
        page.click("button.send")
        seen = go_through(watched, study, by_keyboard=True, most=4)
        stage = current(page)
        step = stage.get_attribute("id")
        # Nothing can be answered before the end of the clip, and a jump to the end is taken back.
        page.keyboard.press("4")
        assert stage.locator("input:checked").count() == 0 and stage.locator("button.send").is_disabled()
        begun = time.monotonic()
        page.keyboard.press("Space")
        page.evaluate("const v = document.querySelector('video'); v.currentTime = v.duration")
        stage.locator(".play.done").wait_for(timeout=20_000)
        assert time.monotonic() - begun > 0.8 * study.clip(next(iter(study.plans[0][0].clips))).seconds
        assert stage.locator("input").last.is_enabled() and stage.locator("button.send").is_disabled(), "not answered"
        page.screenshot(path=tmp_path / "desk.png", full_page=True)
        ahead = study.plans[0][1].clips
        page.wait_for_function("names => names.every(n => performance.getEntriesByType('resource')"
                               ".some(r => r.name.includes(n)))", arg=list(ahead))  # fmt: skip
        link, pages = page.url, [page.content()]
        page.context.close()
        problems, urls = watched.problems, watched.urls
        watched = Watched(browser, 1280, 900, touch=False)
        page = watched.page
        page.goto(link)
        assert current(page).get_attribute("id") == step
        page.on("load", lambda loaded: pages.append(loaded.content()))
        seen += go_through(watched, study, by_keyboard=True)
        assert seen == expected(study, 0)
        assert page.locator(".code").inner_text() == "C0DE"
        assert page.locator("a.send").get_attribute("href") == f"{PLATFORM}/submissions/complete?cc=C0DE"
        page.screenshot(path=tmp_path / "desk-end.png")
        page.route(f"{PLATFORM}/**", lambda route: route.fulfill(body="thank you"))
        page.click("a.send")
        page.wait_for_url(f"{PLATFORM}/**")
        away = [url for url in watched.urls if not url.startswith(base)]
        assert away == [f"{PLATFORM}/submissions/complete?cc=C0DE"]
        assert not problems + watched.problems
        assert all(url.startswith((base, "data:")) for url in urls)
        reveals_nothing(watched, pages)
        page.context.close()
    with Answers(folder) as answers:
        (rater,) = [one for one in answers.raters() if one.platform == "prolific"]
        assert (rater.platform_id, rater.platform_study, rater.platform_session) == ("5f0c", "60a1", "77b2")
        assert rater.finished is not None
        given = answers.answered(rater)
        trials = [step for step in study.plans[0] if step.kind != "between"]
        assert len([step for step in trials if step.role == "trial"]) == 6
        assert all(given[step.id].get("sync", "4") == "4" for step in trials)
        assert all(given[step.id].get("preference", "right") == "right" for step in trials)
        plays = {one.step: (one.plays, one.played) for one in answers.all() if one.rater == rater.number}
    for step in trials:
        counted, played = plays[step.id]
        assert counted == " ".join("1" for _ in step.clips)
        for seconds, name in zip(str(played).split(), step.clips, strict=True):
            assert study.clip(name).seconds * 0.8 < float(seconds)


def a_study_on_a_phone(folder: Path, browser: Any, tmp_path: Path) -> None:
    """With taps only, by the open link, after a wrong number of beeps."""
    study = read_study(folder)
    with served(folder) as client:
        base = str(client.base_url).rstrip("/")
        watched = Watched(browser, 390, 844, touch=True)
        page, pages = watched.page, []
        page.on("load", lambda loaded: pages.append(loaded.content()))
        page.goto(base)
        watched.press(page.locator("button.send"))
        page.locator("#consent").wait_for()
        go_through(watched, study, by_keyboard=False, most=1)
        play_all(watched, current(page), by_keyboard=False)
        watched.press(page.locator("input[name=beeps][value='9']"))
        watched.press(page.locator("button.send"))
        page.wait_for_url("**/r/**")
        page.locator("#sound2").wait_for()
        assert "another number" in page.locator("main").inner_text()
        seen = go_through(watched, study, by_keyboard=False)
        with sqlite3.connect(folder / ANSWERS_FILE) as kept:
            ((plan,),) = kept.execute("SELECT plan FROM raters WHERE platform IS NULL AND finished IS NOT NULL")
        assert seen == ["sound2", "sound3", *expected(study, plan)[3:]]
        assert page.locator(".code").inner_text() == "C0DE" and page.locator("a.send").count() == 0
        page.screenshot(path=tmp_path / "phone-end.png")
        assert not watched.problems
        assert all(url.startswith((base, "data:")) for url in watched.urls)
        reveals_nothing(watched, pages)
        page.context.close()


def a_study_from_plain_files(folder: Path, browser: Any, tmp_path: Path) -> None:
    """From the disk, closed on the way; the saved file is imported, once."""
    study = read_study(folder)
    form = folder / "form"
    assert {path.name for path in form.iterdir()} == {f"rater-{plan + 1:03d}" for plan in range(len(study.plans))}
    form = form / "rater-004"
    assert {path.name for path in form.iterdir()} == {"clips", "static", "index.html"}
    shown = {name for step in study.plans[3] for name in step.clips}
    others = {clip.name for clip in study.clips if clip.purpose == "trial"} - shown
    assert others and not others & {path.stem for path in (form / "clips").iterdir()}
    watched = Watched(browser, 800, 900, touch=False)
    page = watched.page
    page.goto((form / "index.html").as_uri())
    seen = go_through(watched, study, by_keyboard=False, most=4)
    page.screenshot(path=tmp_path / "form.png")
    context = page.context
    page.close()
    page = watched.page = context.new_page()
    page.on("request", lambda request: watched.urls.append(request.url))
    page.on("console", lambda told: watched.problems.append(told.text))
    page.goto((form / "index.html").as_uri())
    seen += go_through(watched, study, by_keyboard=True)
    assert seen == expected(study, 3, static=True)
    with page.expect_download() as download:
        page.click("#download")
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert not watched.problems
    assert all(url.startswith(("file://", "data:", "blob:")) for url in watched.urls)
    reveals_nothing(watched, [(form / "index.html").read_text(encoding="utf-8").replace(str(folder), "")])
    content = json.loads(saved.read_text())
    (tmp_path / "half.json").write_text(json.dumps(content | {"answers": content["answers"][:6], "finished": None}))
    for file, added in ((tmp_path / "half.json", True), (saved, True), (saved, False)):
        assert (import_answers(folder, [file], Report()) > 0) is added
    with Answers(folder) as answers:
        rater = next(one for one in answers.raters() if one.token == json.loads(saved.read_text())["rater"])
        assert rater.plan == 3 and rater.finished is not None
        assert set(answers.answered(rater)) == set(seen)
    for changed, told in (
        ({"study": "0" * 16}, "but this is the study"),
        ({"plan": 99}, "plan: 99"),
        ({"answers": content["answers"] * 2}, "or there twice"),
        ({"rater": "<script>"}, "rater"),
        ({"begun": 1e13}, "begun"),
        ({"answers": [content["answers"][5] | {"at": 1e12}]}, "answers.0.at"),
        ({"answers": [content["answers"][5] | {"seconds": 0}]}, "not played to its end"),
        ({"answers": [content["answers"][5] | {"answers": {"sync": "7"}}]}, "an answer is"),
    ):
        (tmp_path / "changed.json").write_text(json.dumps(content | changed))
        with pytest.raises(UsageError) as raised:
            import_answers(folder, [tmp_path / "changed.json"], Report())
        assert told in str(raised.value)
    ended = lse_bench("study", "import", folder, saved)
    assert ended.returncode == 0 and "0 new answers" in ended.stderr, ended.stderr
    page.click("footer a")
    page.click("#delete")
    assert page.locator("#left").is_visible()
    page.goto((form / "index.html").as_uri())
    assert current(page).get_attribute("id") == "consent"
    context.close()
