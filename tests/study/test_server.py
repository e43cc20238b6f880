"""The server of a study against raters who are honest, forgetful, careless or hostile."""

from __future__ import annotations

import csv
import io
import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import httpx
import pytest
from commands import lse_bench_here
from studies import Visit, make_study, make_videos, served

from lse_bench.study.folder import ANSWERS_FILE, read_secret, read_study
from lse_bench.study.server.app import HEADERS, MOST_BYTES

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("server")
    make_videos(place)
    return make_study(place, preset="wav2lip-paper", raters=40, completion_url="https://app.example/done?cc={code}")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with served(folder) as found:
        yield found


def rows(folder: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / ANSWERS_FILE) as base:
        return base.execute(sql, values).fetchall()


def answers_of(folder: Path, visit: Visit) -> dict[tuple[str, str], str]:
    found = rows(
        folder,
        "SELECT step, question, value FROM answers JOIN raters ON rater = number WHERE token = ?",
        visit.token,
    )
    return {(str(step), str(question)): str(value) for step, question, value in found}


def test_a_rater_goes_from_the_consent_to_the_code(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    seen = []
    while step := visit.stage():
        seen.append(visit.known(step).kind)
        assert visit.send(visit.form()).status_code == 303
    assert seen[:4] == ["consent", "sound", "sound", "example"] and {"rating", "pair", "between"} <= set(seen)
    page = visit.page()
    assert "Your completion code" in page and "app.example" not in page, "only raters of a platform are sent back"
    given = answers_of(folder, visit)
    assert {question for _, question in given} >= {"sync", "visual", "overall", "preference", "trouble", "remarks"}
    ((finished,),) = rows(folder, "SELECT finished FROM raters WHERE token = ?", visit.token)
    assert finished is not None
    assert visit.page() == page


def test_nothing_is_stored_before_the_first_form(folder: Path, client: httpx.Client) -> None:
    before = rows(folder, "SELECT count(*) FROM raters")
    for _ in range(3):
        assert client.get("/?PROLIFIC_PID=p0").status_code == 200
    assert rows(folder, "SELECT count(*) FROM raters") == before


def test_a_platform_brings_a_rater_back_to_the_same_link(folder: Path, client: httpx.Client) -> None:
    first = Visit(folder, client, "?PROLIFIC_PID=p1&STUDY_ID=s&SESSION_ID=a")
    first.until("rating")
    again = Visit(folder, client, "?PROLIFIC_PID=p1&STUDY_ID=s&SESSION_ID=a")
    assert again.token == first.token and again.stage() == first.stage()
    for taken in ({"STUDY_ID": "s", "SESSION_ID": "b"}, {"STUDY_ID": "t", "SESSION_ID": "a"}, {"STUDY_ID": "s"}, {}):
        refused = client.post("/start", data={"PROLIFIC_PID": "p1"} | taken, follow_redirects=False)
        assert refused.status_code == 409 and first.token not in refused.text, "the name of a rater is no key"
    one, other = (Visit(folder, client, f"?PROLIFIC_PID={name}") for name in ("%0A", "%01"))
    assert one.token != other.token, "a name without letters is none"
    assert Visit(folder, client, "?PROLIFIC_PID=p2&STUDY_ID=s&SESSION_ID=a").token != first.token
    worker = Visit(folder, client, "?workerId=w&hitId=h&assignmentId=a")
    assert rows(folder, "SELECT platform, platform_id FROM raters WHERE token = ?", worker.token) == [("mturk", "w")]
    first.finish()
    page = first.page()
    code = page.split('class="code">')[1].split("<")[0]
    assert f'href="https://app.example/done?cc={code}"' in page and 'http-equiv="refresh"' in page


def test_a_repeated_or_reordered_form_changes_nothing(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("rating")
    form = visit.form(sync="2")
    assert visit.send(form).status_code == 303
    stored = answers_of(folder, visit)
    replayed = visit.send(form | {"sync": "5"})
    assert replayed.status_code == 303 and answers_of(folder, visit) == stored
    later = [step.id for step in read_study(folder).plans[0] if step.kind == "pair"][-1]
    assert visit.send(form | {"step": later}).status_code == 303
    assert answers_of(folder, visit) == stored
    assert stored[form["step"], "sync"] == "2"


def test_an_answer_before_the_end_of_the_clip_is_not_taken(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("rating")
    form = visit.form()
    for changed in ({"plays": "0"}, {"plays": ""}, {"played": ""}, {"plays": "1 1"}):
        answer = visit.send(form | changed)
        assert answer.status_code == 400 and "play every clip to its end" in answer.text
    with sqlite3.connect(folder / ANSWERS_FILE) as base:
        base.execute("UPDATE shown SET at = at + 100")  # shown just now
    assert visit.send(form).status_code == 400
    assert (form["step"], "sync") not in answers_of(folder, visit)
    form = visit.form()
    assert visit.send(form).status_code == 303


@pytest.mark.parametrize(
    "changed",
    [
        {"sync": "6"},
        {"sync": "0"},
        {"sync": "1e0"},
        {"sync": ""},
        {"sync": "١"},  # a digit of another script
        {"plays": "one"},
        {"plays": "-1"},
        {"played": "nan"},
        {"played": "inf"},
        {"plays": "9" * 5000},
    ],
)
def test_a_malformed_answer_is_not_taken(folder: Path, client: httpx.Client, changed: dict[str, str]) -> None:
    visit = Visit(folder, client)
    visit.until("rating")
    form = visit.form(**changed)
    assert visit.send(form).status_code == 400
    assert (form["step"], "sync") not in answers_of(folder, visit)


@pytest.mark.parametrize("guess", range(3, 9))
def test_one_number_of_beeps_throughout_ends_the_visit(folder: Path, client: httpx.Client, guess: int) -> None:
    visit = Visit(folder, client)
    visit.until("sound")
    seen = set()
    while step := visit.stage():
        assert step.startswith("sound"), "a constant guess is never right twice"
        seen.add(step)
        assert visit.send(visit.form(beeps=str(guess))).status_code == 303
    assert {"sound1", "sound2"} <= seen
    page = visit.page()
    assert "cannot take part" in page and "completion code" not in page


def test_a_wrong_number_of_beeps_can_be_mended(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("sound")
    visit.send(visit.form(beeps="9"))
    assert "That was another number" in visit.page()
    visit.send(visit.form())
    assert visit.stage() == "sound3" and "count once more" in visit.page()
    visit.send(visit.form())
    assert visit.stage() == "example"


def test_tampered_and_foreign_links_open_nothing(folder: Path, client: httpx.Client) -> None:
    one, other = Visit(folder, client), Visit(folder, client)
    one.until("rating")
    other.until("rating")
    for token in (one.token[:-1], one.token + "x", one.token.swapcase(), "x" * 5000, "%00", "'; DROP TABLE raters;--"):
        assert client.get(f"/r/{token}/").status_code == 404
        assert client.post(f"/r/{token}/answer", data={"step": "trial001"}).status_code == 404
    form = one.form()
    foreign = other.send(form | {"step": other.stage()})
    assert foreign.status_code == 403, "the form of one rater is not that of another"
    assert (other.stage(), "sync") not in answers_of(folder, other)
    mine = other.form()
    for nonce in ("", "0" * 32, mine["nonce"][:-1], "ä" * 32):
        assert other.send(mine | {"nonce": nonce}).status_code == 403


def test_a_rater_gets_no_clip_but_their_own_and_no_other_file(folder: Path, client: httpx.Client) -> None:
    study = read_study(folder)
    visit = Visit(folder, client)
    names = {name for step in study.plans[0] for name in step.clips}
    assert client.get(f"/{visit.path}clip/{next(iter(names))}.mp4").status_code == 404, "not before the consent"
    visit.until("rating")
    (plan,) = rows(folder, "SELECT plan FROM raters WHERE token = ?", visit.token)[0]
    own = {name for step in study.plans[int(str(plan))] for name in step.clips}
    others = [clip.name for clip in study.clips if clip.purpose == "trial" and clip.name not in own]
    for name in own:
        assert client.get(f"/{visit.path}clip/{name}.mp4").status_code == 200
    assert others
    tricks = ["../study", "..%2f..%2fstudy.json", "%2e%2e/secret", "/etc/passwd", "....//study", "study.json%00", ""]
    for name in [*others, *tricks]:
        assert client.get(f"/{visit.path}clip/{name}.mp4").status_code in (404, 405)
    for path in ("/study.json", "/secret.json", "/answers.sqlite", "/clips/", "/static/../study.json", "/static/x.py"):
        assert client.get(path).status_code == 404


def test_ranges_of_a_clip_can_be_had(folder: Path, client: httpx.Client) -> None:
    """Phones play nothing without."""
    visit = Visit(folder, client)
    visit.until("rating")
    name = visit.known(visit.stage()).clips[0]
    whole = client.get(f"/{visit.path}clip/{name}.mp4")
    part = client.get(f"/{visit.path}clip/{name}.mp4", headers={"range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert "private" in whole.headers["cache-control"] and whole.headers["content-type"] == "video/mp4"


def test_bodies_that_are_too_large_or_no_form_are_refused(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("between")
    form = visit.form()
    assert visit.send(form | {"remarks": "x" * (MOST_BYTES + 1)}).status_code == 413
    assert visit.send(form | {"remarks": "x" * 2001}).status_code == 400
    assert visit.send(form | {"step": "x", "remarks": "말" * 60_000}).status_code == 303
    to, kind = f"/{visit.path}answer", {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"\xff\xfe", b"step=%ff", b"&".join(b"a=1" for _ in range(100)), b"step=a&step=b"):
        assert client.post(to, content=body, headers=kind).status_code == 400
    assert client.post(to, json=form).status_code == 415
    assert client.post(to, data=form, files={"file": b"x"}).status_code == 415
    assert client.get(to).status_code == 405
    assert visit.send(form | {"remarks": "말\r\n" * 1000}).status_code == 303, "a browser counts 2,000 characters"
    url = urlparse(str(client.base_url))
    with socket.create_connection((str(url.hostname), url.port or 80)) as raw:  # a body that never ends
        raw.sendall(f"POST {to} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n".encode())
        raw.sendall(b"Content-Type: application/x-www-form-urlencoded\r\n\r\n")
        for _ in range(1 + MOST_BYTES // 0x4000):
            raw.sendall(b"4000\r\n" + b"a" * 0x4000 + b"\r\n")
        assert b" 413 " in raw.recv(200)


def test_script_in_an_answer_and_in_a_link_stays_text(folder: Path, client: httpx.Client) -> None:
    bad = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    page = client.get("/", params={"PROLIFIC_PID": bad})
    assert "<script>alert" not in page.text and "&lt;script&gt;" in page.text
    visit = Visit(folder, client)
    visit.until("between")
    step = visit.stage()
    assert visit.send(visit.form(remarks=bad)).status_code == 303
    assert answers_of(folder, visit)[step, "remarks"] == bad
    told = client.get(f"/admin/{read_secret(folder).admin}").text
    assert "<img" not in told and "onerror" not in told


def test_a_formula_in_an_answer_is_harmless_in_the_export(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client, "?PROLIFIC_PID=%3Dcmd%7C%27/c%20calc%27!A0&STUDY_ID=formula")
    visit.until("between")
    visit.send(visit.form(remarks='=HYPERLINK("http://x","y"),\n"+1'))
    ended = lse_bench_here("study", "export", folder)
    assert ended.returncode == 0, ended.stderr
    table = list(csv.DictReader(io.StringIO(ended.stdout)))
    cells = [cell for row in table for cell in row.values()]
    assert '\'=HYPERLINK("http://x","y"),\n"+1' in cells and "'=cmd|'/c calc'!A0" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "\t"))]
    assert len(table) == rows(folder, "SELECT count(*) FROM answers")[0][0]


def test_every_response_has_the_headers_of_safety(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("rating")
    clip = visit.known(visit.stage()).clips[0]
    for path in ("/", f"/{visit.path}", f"/{visit.path}clip/{clip}.mp4", "/static/player.js", "/none", "/r/x/"):
        answer = client.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, path
        assert "server" not in answer.headers and "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] in ("no-store", "no-cache", "private, max-age=3600, immutable")
    page = visit.page()
    assert "style=" not in page and "onclick" not in page and "<script>" not in page
    assert "http://" not in page and "https://" not in page


def test_a_form_from_another_site_is_refused(folder: Path, client: httpx.Client) -> None:
    before = rows(folder, "SELECT count(*) FROM raters")
    crossed = client.post("/start", data={}, headers={"sec-fetch-site": "cross-site"}, follow_redirects=False)
    assert crossed.status_code == 403 and rows(folder, "SELECT count(*) FROM raters") == before


def test_nothing_that_a_rater_gets_names_a_method(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    got = [client.get("/static/player.js").text, client.get("/static/style.css").text]
    while visit.stage():
        page = visit.page()
        got.append(page)
        visit.send(visit.form())
    text = "".join(got).lower()
    for word in ("ours", "theirs", "unsynced", "desync", "attention", "repeat", "minilrs", "s1+s2"):
        assert f'"{word}' not in text and f"/{word}" not in text and f">{word}" not in text


def test_a_rater_can_withdraw(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client, "?PROLIFIC_PID=leaver&STUDY_ID=s&SESSION_ID=a")
    visit.until("pair")
    assert answers_of(folder, visit)
    asked = client.get(f"/{visit.path}withdraw")
    assert asked.status_code == 200 and answers_of(folder, visit)
    nonce = asked.text.split('name="nonce" value="')[1].split('"')[0]
    to = f"/{visit.path}withdraw"
    assert client.post(to, data={"nonce": "x"}, follow_redirects=False).status_code == 403
    assert client.post(to, data={"nonce": nonce}, follow_redirects=False).status_code == 303
    assert not answers_of(folder, visit) and "deleted" in visit.page()
    for path in folder.glob(f"{ANSWERS_FILE}*"):
        assert b"leaver" not in path.read_bytes(), path
    assert client.post(f"/{visit.path}answer", data={"step": "x"}).status_code == 200
    assert not answers_of(folder, visit)


def test_the_page_of_progress_needs_its_secret_and_names_no_winner(folder: Path, client: httpx.Client) -> None:
    secret = read_secret(folder).admin
    told = client.get(f"/admin/{secret}")
    assert told.status_code == 200 and "finished" in told.text
    for word in ("ours", "theirs", "unsynced", "mean", "strength"):
        assert word not in told.text.lower()
    for wrong in (secret[:-1], secret + "x", "x", "ä"):
        assert client.get(f"/admin/{wrong}").status_code == 404


def test_requests_are_limited(folder: Path) -> None:
    with served(folder, per_minute=3) as client:
        seen = [client.post("/start", data={}, follow_redirects=False).status_code for _ in range(5)]
        assert seen == [303, 303, 303, 429, 429]
        assert [client.get("/r/none/").status_code for _ in range(5)] == [404, 404, 404, 429, 429]


def test_plans_are_given_once_and_then_the_study_is_full(tmp_path: Path) -> None:
    folder = make_study(tmp_path, raters=2)
    with served(folder) as client:
        first, second = Visit(folder, client), Visit(folder, client)
        first.until("rating")
        second.until("rating")
        late = Visit(folder, client)
        assert "has all its raters" in client.post(f"/{late.path}answer", data=late.form()).text
        asked = client.get(f"/{first.path}withdraw").text
        nonce = asked.split('name="nonce" value="')[1].split('"')[0]
        client.post(f"/{first.path}withdraw", data={"nonce": nonce})
        assert late.send(late.form()).status_code == 303, "the plan of one who withdrew is free again"
        plans = rows(folder, "SELECT plan FROM raters WHERE plan IS NOT NULL")
        assert sorted(plans) == [(0,), (1,)]


def test_a_plan_is_lent_until_the_examples_are_passed(tmp_path: Path) -> None:
    """Who only agrees keeps nobody out."""
    folder = make_study(tmp_path, raters=2)
    with served(folder) as client:
        for _ in range(5):
            idle = Visit(folder, client)
            assert idle.send(idle.form()).status_code == 303
        honest = [Visit(folder, client), Visit(folder, client)]
        for visit in honest:
            visit.until("rating")
        late = Visit(folder, client)
        assert "has all its raters" in client.post(f"/{late.path}answer", data=late.form()).text


def test_a_clock_that_is_set_back_locks_nobody_out(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("rating")
    visit.page()
    with sqlite3.connect(folder / ANSWERS_FILE) as base:
        base.execute("UPDATE shown SET at = at + 3600")
    visit.page()
    form = visit.form()
    assert visit.send(form).status_code == 303 and (form["step"], "sync") in answers_of(folder, visit)


def test_who_writes_for_long_keeps_no_page_waiting(folder: Path, client: httpx.Client) -> None:
    visit = Visit(folder, client)
    visit.until("rating")
    visit.page()
    with sqlite3.connect(folder / ANSWERS_FILE, isolation_level=None) as base:
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE raters SET seen = seen")
        assert client.get(f"/{visit.path}", timeout=5).status_code == 200
        base.execute("ROLLBACK")


def test_an_error_of_the_server_says_so_and_ends(tmp_path: Path) -> None:
    folder = make_study(tmp_path, raters=2)
    with served(folder) as client:
        visit = Visit(folder, client)
        visit.until("rating")
        form = visit.form()
        with sqlite3.connect(folder / ANSWERS_FILE) as base:
            base.execute("ALTER TABLE answers RENAME TO away")
        broken = visit.send(form)
        assert broken.status_code == 500 and "was not stored" in broken.text
        for name, value in HEADERS.items():
            assert broken.headers[name] == value
        with sqlite3.connect(folder / ANSWERS_FILE) as base:
            base.execute("ALTER TABLE away RENAME TO answers")
        assert visit.send(form).status_code == 303
    for path in folder.glob(f"{ANSWERS_FILE}-*"):
        path.unlink()
    (folder / ANSWERS_FILE).write_bytes(b"no database" * 1000)
    ended = lse_bench_here("study", "export", folder)
    assert ended.returncode == 2 and "Is it damaged" in " ".join(ended.stderr.split())


def test_lost_keys_are_not_made_anew(tmp_path: Path) -> None:
    folder = make_study(tmp_path, raters=2)
    (folder / "secret.json").unlink()
    for command in (("serve", folder), ("export", folder)):
        ended = lse_bench_here("study", *command)
        assert ended.returncode == 2 and "Restore this file" in " ".join(ended.stderr.split())


def test_only_the_invited_take_part(tmp_path: Path) -> None:
    folder = make_study(tmp_path, invited=True, raters=2)
    links = [row.split(",")[1] for row in (folder / "invitations.csv").read_text().splitlines()[1:]]
    with served(folder) as client:
        assert client.get("/").status_code == 403
        assert client.post("/start", data={}).status_code == 403
        assert "Before you begin" in client.get(links[0]).text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_beyond_this_machine_a_study_is_served_on_request_only(folder: Path, host: str) -> None:
    ended = lse_bench_here("study", "serve", folder, "--host", host, "--port", 0)
    told = " ".join(ended.stderr.split())
    assert ended.returncode == 2 and "--i-may-show-these" in told and "Apache-2.0" in told


def test_a_study_that_is_not_whole_is_not_served(tmp_path: Path) -> None:
    folder = make_study(tmp_path, raters=2)
    (lost, *_) = (folder / "clips").iterdir()
    lost.unlink()
    ended = lse_bench_here("study", "serve", folder, "--port", 0)
    assert ended.returncode == 2 and lost.name in ended.stderr
    (folder / "study.json").write_text(json.dumps({"schema": 9}))
    assert lse_bench_here("study", "serve", folder).returncode == 2
    (folder / "study.json").unlink()
    ended = lse_bench_here("study", "serve", folder)
    assert ended.returncode == 2 and "no study" in ended.stderr
