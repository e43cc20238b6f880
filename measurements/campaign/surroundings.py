"""Odd terminals, homes, limits, folders and variables: the same numbers, or a sentence, and never a traceback."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import clips
from found import COMMAND, Findings

SECONDS = 180
MIB = 1 << 20
NUMBERS = ("id", "status", "lse_d", "lse_c", "offset")


@dataclass(frozen=True)
class Odd:
    """`variables` set, or unset where None; `inside`: what the child does first; `out`, `error`: files in place of the
    usual ones; `prefix`: a program that starts the command; `folder`: makes the folder that it runs in.
    """

    variables: dict[str, str | None] = field(default_factory=dict)
    inside: Callable[[], None] = lambda: None
    out: str | None = None
    error: str | None = None
    prefix: tuple[str, ...] = ()
    folder: Callable[[Path], None] = lambda path: None


def limited(what: int, most: int) -> Callable[[], None]:
    """Sets a limit of the system."""
    return lambda: resource.setrlimit(what, (most, most))


def _with_files(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            (folder / name).write_text("raise SystemExit('the wrong module')\n")

    return make


def _hidden() -> None:
    os.umask(0o777)


def _gone(folder: Path) -> None:
    folder.rmdir()


ODD: dict[str, Odd] = {
    **{
        f"PYTHONIOENCODING={name}": Odd({"PYTHONIOENCODING": name}) for name in ("ascii", "latin-1", "cp1252", "utf-16")
    },
    "LC_ALL=C without UTF-8 mode": Odd({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "LC_ALL of no locale": Odd({"LC_ALL": "xx_YY.UTF-9"}),
    **{f"TERM={name}": Odd({"TERM": name}) for name in ("dumb", "", "no-such")},
    **{f"COLUMNS={name}": Odd({"COLUMNS": name}) for name in ("0", "1", "-5", "abc", "100000")},
    "FORCE_COLOR": Odd({"FORCE_COLOR": "1", "TERM": "xterm"}),
    "no HOME": Odd({"HOME": None, "XDG_CACHE_HOME": None}),
    "HOME that is not there": Odd({"HOME": "/nonexistent", "XDG_CACHE_HOME": None}),
    "HOME that is a file": Odd({"HOME": "/etc/hostname", "XDG_CACHE_HOME": None}),
    "XDG_CACHE_HOME relative": Odd({"XDG_CACHE_HOME": "cache"}),
    "TMPDIR that is not there": Odd({"TMPDIR": "/nonexistent"}),
    "LSE_BENCH_WEIGHTS a file": Odd({"LSE_BENCH_WEIGHTS": "/etc/hostname"}),
    "proxies of nobody": Odd({"http_proxy": "http://256.1.1.1:99999", "https_proxy": "nonsense"}),
    "OMP_NUM_THREADS=1000": Odd({"OMP_NUM_THREADS": "1000"}),
    "OMP_NUM_THREADS=abc": Odd({"OMP_NUM_THREADS": "abc"}),
    "CUDA_VISIBLE_DEVICES=7": Odd({"CUDA_VISIBLE_DEVICES": "7"}),
    "python -OO": Odd({"PYTHONOPTIMIZE": "2"}),
    "warnings are errors": Odd({"PYTHONWARNINGS": "error"}),
    "TZ of nowhere": Odd({"TZ": "Nowhere/Nothing"}),
    "PYTHONSAFEPATH": Odd({"PYTHONSAFEPATH": "1"}),
    "files that are named as modules": Odd(
        {"PYTHONSAFEPATH": "1"}, folder=_with_files("torch.py", "random.py", "score")
    ),
    "a folder that is gone": Odd(folder=_gone),
    "one core": Odd(inside=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})),
    "64 open files": Odd(inside=limited(resource.RLIMIT_NOFILE, 64)),
    "24 open files": Odd(inside=limited(resource.RLIMIT_NOFILE, 24)),
    "6 GiB of addresses": Odd(inside=limited(resource.RLIMIT_AS, 6144 * MIB)),
    "files of 4 kB at most": Odd(inside=limited(resource.RLIMIT_FSIZE, 4096)),
    "a stack of 512 kB": Odd(inside=limited(resource.RLIMIT_STACK, MIB // 2)),
    "no core files": Odd(inside=limited(resource.RLIMIT_CORE, 0)),
    "umask 777": Odd(inside=_hidden),
    "standard output closed": Odd(inside=lambda: os.close(1)),
    "standard error closed": Odd(inside=lambda: os.close(2)),
    "both closed": Odd(inside=lambda: os.closerange(1, 3)),
    "standard input closed": Odd(inside=lambda: os.close(0)),
    "standard output full": Odd(out="/dev/full"),
    "standard error full": Odd(error="/dev/full"),
    "nice 19": Odd(prefix=("nice", "-n", "19")),
    "no variables": Odd(prefix=("env", "-i")),
}
COMMANDS: dict[str, list[object]] = {
    "score": ["score", "--weights", "syncnet-mini", "--protocol", "lrs-lossless", "--json"],
    "list": ["generate", "--list"],
}


def _result(out: Path) -> object:
    path = out / "records.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [[row[name] for name in NUMBERS] for row in rows]


def _ended(odd: Odd, arguments: list[object], folder: Path, log: IO[bytes]) -> int | None:
    variables = {name: value for name, value in (os.environ | odd.variables).items() if value is not None}
    options: dict[str, Any] = {"env": variables, "cwd": folder, "preexec_fn": odd.inside}
    with Path(odd.out or os.devnull).open("wb") as out, Path(odd.error or log.name).open("ab") as error:
        streams = {"stdin": subprocess.DEVNULL, "stdout": out if odd.out else log, "stderr": error}
        process = subprocess.Popen([*odd.prefix, *COMMAND, *map(str, arguments)], **streams, **options)
        odd.folder(folder)
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None


def surroundings(folder: Path, count: int, seed: int) -> Findings:
    """Every oddity, by two commands; `count` and `seed` change nothing."""
    found = Findings()
    clip = clips.good(folder / "clips" / "a.mp4")
    wanted: object = None
    for name, odd in {"as usual": Odd(), **ODD}.items():
        for which, command in COMMANDS.items():
            place = folder / f"{found.tried}"
            place.mkdir()
            out = folder / f"{found.tried}-out"
            arguments = [*command[:1], clip, *command[1:], "--out", out] if which == "score" else command
            log = folder / f"{found.tried}.log"
            with log.open("ab") as file:
                code = _ended(odd, arguments, place, file)
            said = log.read_text(errors="replace").replace("\0", "")
            found.tried += 1
            found.ended["hung" if code is None else f"exit {code}"] += 1
            last = said.strip()[-200:]
            if code is None:
                found.fault("hang", f"{name}, {which}: {last}")
            elif "Traceback (most recent call last)" in said or code not in (0, 1, 2):
                found.fault("traceback", f"{name}, {which}: exit {code}: {last}")
            elif code == 0 and which == "score":
                wanted = wanted or _result(out)
                if _result(out) != wanted:
                    found.fault("wrong", f"{name}: {_result(out)}")
            elif code and not said.strip() and odd.error is None and "closed" not in name:
                found.fault("wrong", f"{name}, {which}: exit {code} without a word")
    return found
