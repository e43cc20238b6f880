"""Any program as a measure: it gets a clip's files and prints a number."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.measures.interface import Measure, MeasuredClip, Meter, NoValueError
from lse_bench.outside import OutsideProgram, last_words

TIMEOUT = 600.0
_PLACEHOLDERS = ("video", "original", "id")
_MOST_TEXT = 1 << 20  # bytes of output that are read
_EXAMPLE = "python eval.py --video {video} --original {original}"


class Command(Measure):
    """A program that prints a number, or JSON with `value`, in its last line."""

    sources = ("the command line",)

    def __init__(self, name: str, line: str, timeout: float = TIMEOUT) -> None:
        """Prepare the command line `line` as the measure `name`. `timeout`: seconds for one clip.

        Raises UsageError if the name or the line cannot be used.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
            raise UsageError(f"--measure-command {name}=…: a name has lower-case letters, digits and _")
        self.name = name
        self._program = OutsideProgram("--measure-command", line, _PLACEHOLDERS, "video", _EXAMPLE, timeout)
        if shutil.which(self._program.words[0]) is None:
            raise UsageError(f"--measure-command {name}: there is no program {self._program.words[0]}; check its path")
        self._original = "{original}" in line
        if self._original:
            self.needs = frozenset({"frames", "original"})

    @property
    def settings(self) -> dict[str, str]:
        return {"command": self._program.line} | self._program.files

    def start(self, clip: MeasuredClip) -> Meter:
        if self._original and clip.original is None:
            raise NoValueError("no original")
        return _CommandMeter(self._program, clip)


class _CommandMeter(Meter):
    def __init__(self, program: OutsideProgram, clip: MeasuredClip) -> None:
        self._program, self._clip = program, clip

    def finish(self) -> float:
        clip = self._clip
        values = {"video": str(clip.video), "original": str(clip.original or ""), "id": clip.id}
        with tempfile.TemporaryDirectory(prefix="lse-bench-") as folder:
            log, output = Path(folder) / "log.txt", Path(folder) / "output.txt"
            status = self._program.run(values, log, output)
            if status is None:
                raise NoValueError(f"timeout: the program ran longer than {self._program.timeout:g} s and was stopped")
            if status:
                raise NoValueError(f"exit status {status}: the program's last line: {last_words(log)}")
            with output.open("rb") as file:
                return _value_in(file.read(_MOST_TEXT).decode("utf-8", "replace"))


def _value_in(text: str) -> float:
    """Return the number in the last line of a program's output. Raises NoValueError if there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    try:
        found: Any = json.loads(last)
    except ValueError:
        found = None
    if isinstance(found, dict):
        found = found.get("value")
        if found is None:
            raise NoValueError("the program gave no value")
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise NoValueError(f"the program's last line is no number and no JSON with `value`: {last[-100:]!r}")
    return float(found)
