"""Start the server of a study."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from lse_bench.errors import UsageError
from lse_bench.reporting import Report
from lse_bench.study.answers import Answers
from lse_bench.study.folder import clip_path, read_secret, read_study
from lse_bench.study.server.app import make_app
from lse_bench.study.server.service import Service

_WAITING = 2048  # connections that wait to be accepted
_KEEP_ALIVE = 30  # seconds


def serve_study(folder: Path, host: str, port: int, may_show: bool, per_minute: int, report: Report) -> None:
    """Serve the study in `folder` until Ctrl-C.

    `may_show`: whether the researcher says that the clips may be shown beyond this machine. `per_minute`: see
    `make_app`. Raises UsageError if there is no study, if a clip is missing, if the address is beyond this machine
    without `may_show`, or if the address is taken.
    """
    study = read_study(folder)
    licence = study.licence or "not known"
    if not _is_loopback(host) and not may_show:
        raise UsageError(
            f"--host {host} shows the clips to other machines. Licence: {licence}. If you may show them to raters, "
            "add --i-may-show-these"
        )
    lost = [clip.name for clip in study.clips if not clip_path(folder, clip.name).is_file()]
    if lost:
        raise UsageError(f"{clip_path(folder, lost[0])}: this clip of the study is missing. Restore the folder")
    secret = read_secret(folder)
    with listen(host, port) as listening, Answers(folder) as answers:
        app = make_app(Service(folder, study, secret, answers), per_minute)
        place = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        report.say(f"licence of the clips: {licence}")
        report.say(f"raters: {place}/" + (" (each with their own link)" if study.invited else ""))
        report.say(f"progress, for you only: {place}/admin/{secret.admin}")
        make_server(app).run(sockets=[listening])
        report.say("the server has ended; all answers are stored")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address. Raises UsageError if the address is not this machine's, or taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=_WAITING)
    except OSError as error:
        raise UsageError(f"{host}:{port}: cannot listen there: {error.strerror}. Choose another --port") from None
    # Without it, a response of two packets waits for 40 ms: asyncio sets it for sockets of another making only.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def make_server(app: ASGIApp) -> uvicorn.Server:
    """Return the server of an application, which tells nobody what it is."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            backlog=_WAITING,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=5,
        )
    )


def _is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
