"""Makes studies for tests, and raters who answer them in no time."""

from __future__ import annotations

import html
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from clips import good

from lse_bench.manifests.manifest import Job, Manifest, write_manifest
from lse_bench.reporting import Report
from lse_bench.study.answers import Answers
from lse_bench.study.folder import ANSWERS_FILE, Study, read_secret, read_study
from lse_bench.study.server.app import make_app
from lse_bench.study.server.run import listen, make_server
from lse_bench.study.server.service import Service
from lse_bench.study.stages import Stage, all_stages
from lse_bench.tasks.declared_studies import StudyOptions
from lse_bench.tasks.studies import create_study

METHODS = ("ours", "theirs")


def make_videos(folder: Path, sources: int = 6, seconds: float = 1.2) -> Path:
    """Sources, two methods' videos and a manifest; returns the manifest."""
    jobs = []
    for n in range(sources):
        good(folder / "corpus" / f"s{n}.mp4", seconds, seed=n)
        job = Job(id=f"s{n}+s{(n + 1) % sources}", video=f"s{n}.mp4", sound=f"s{(n + 1) % sources}.mp4")
        jobs.append(job)
        for place, method in enumerate(METHODS, 1):
            good(folder / method / f"{job.id}.mp4", seconds + place / 25, seed=10 * place + n)
    manifest = Manifest(name="made", corpus="minilrs", root=str(folder / "corpus"), jobs=tuple(jobs))
    write_manifest(manifest, folder / "pairs.json")
    return folder / "pairs.json"


def make_study(folder: Path, out: str = "study", **options: object) -> Path:
    """A study of two methods and two anchors; returns its folder."""
    if not (folder / "pairs.json").exists():
        make_videos(folder)
    chosen = {"clips": 5, "trials": 6, "raters": 8, "longest": 1.0} | options
    methods = {name: folder / name for name in METHODS}
    create_study(folder / out, folder / "pairs.json", methods, StudyOptions(**chosen), Report())  # type: ignore[arg-type]
    return folder / out


class Visit:
    """A rater at the server of a study, for whom clips end at once: `form` moves what was shown into the past."""

    def __init__(self, folder: Path, client: httpx.Client, query: str = "") -> None:
        self.folder, self.client = folder, client
        self.study: Study = read_study(folder)
        page = client.get(f"/{query}")
        hidden = hidden_in(page.text)
        self.path = client.post("/start", data=hidden, follow_redirects=False).headers["location"]
        self.token = self.path.split("/")[1]

    def page(self) -> str:
        return self.client.get(f"/{self.path}").text

    def stage(self) -> str:
        """The id of the stage that is shown; empty at the end."""
        found = re.search(r'name="step" value="(\w+)"', self.page())
        return "" if found is None else found[1]

    def form(self, **changed: str) -> dict[str, str]:
        """The form of the stage that is shown, filled in."""
        page = self.page()
        hidden = hidden_in(page)
        with sqlite3.connect(self.folder / ANSWERS_FILE) as base:
            base.execute("UPDATE shown SET at = at - 100")
        stage = self.known(hidden["step"])
        hidden["plays"] = " ".join("1" for _ in stage.clips)
        hidden["played"] = " ".join("1.05" for _ in stage.clips)
        return hidden | answers_to(self.study, stage) | changed

    def known(self, step: str) -> Stage:
        with Answers(self.folder) as answers:
            rater = answers.rater(self.token)
        assert rater is not None
        return next(stage for stage in all_stages(self.study, rater.plan or 0) if stage.id == step)

    def send(self, form: dict[str, str]) -> httpx.Response:
        return self.client.post(f"/{self.path}answer", data=form, follow_redirects=False)

    def until(self, kind: str) -> None:
        """Answer everything before the first stage of this kind."""
        while (step := self.stage()) and self.known(step).kind != kind:
            assert self.send(self.form()).status_code == 303

    def finish(self) -> None:
        while self.stage():
            assert self.send(self.form()).status_code == 303


def hidden_in(page: str) -> dict[str, str]:
    """The hidden fields of a page."""
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found}


def answers_to(study: Study, stage: Stage) -> dict[str, str]:
    """The answers of an honest rater, who likes `real` best and then `ours`."""
    likes = {"real": 5, "ours": 4, "theirs": 3, "unsynced": 2, "desync": 1}
    methods = [study.clip(name).method for name in stage.clips]
    if stage.kind == "sound":
        return {"beeps": methods[0]}
    if stage.kind == "rating":
        return {question.id: str(likes.get(methods[0], 3)) for question in study.sheet.questions}
    if stage.kind == "pair":
        left, right = (likes[method] for method in methods)
        return {"preference": "left" if left > right else "right"}
    if stage.kind == "between":
        return {one.id: "0" if one.choices else "fine" for one in study.sheet.between}
    return {}


@contextmanager
def served(folder: Path, per_minute: int = 1000) -> Iterator[httpx.Client]:
    """A client of the server of a study, which listens on this machine until the block ends."""
    with listen("127.0.0.1", 0) as listening, Answers(folder) as answers:
        service = Service(folder, read_study(folder), read_secret(folder), answers)
        server = make_server(make_app(service, per_minute))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()
