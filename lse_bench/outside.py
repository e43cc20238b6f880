"""Run a program of the user's for one clip: without a shell, with a time limit, and with all that it starts."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.weights.readers import file_digest

_TOLD = 300  # characters of a program's last line that are told


class OutsideProgram:
    """A command line with placeholders in braces.

    `option`: the option that gave it, for messages. `names`: the placeholders that it may have. `needed`: the one that
    it must have. `example`: a command line for the message. `timeout`: seconds for one run. Raises UsageError if the
    line cannot be used.
    """

    def __init__(self, option: str, line: str, names: Sequence[str], needed: str, example: str, timeout: float) -> None:
        self.line, self._option, self.timeout = line, option, timeout
        try:
            self.words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{option} {line}: {error}") from None
        if not self.words or not any(f"{{{needed}}}" in word for word in self.words):
            raise UsageError(f'{option} {line!r}: give a command line with {{{needed}}} in it, as in "{example}"')
        try:
            self._filled(dict.fromkeys(names, "x"))
        except (ValueError, KeyError, IndexError) as error:
            told = f"{', '.join(names[:-1])} and {names[-1]}"
            raise UsageError(
                f"{option} {line}: {error}; the names in braces are {told}, and all other braces must be doubled"
            ) from None
        self.files = {word: file_digest(Path(word)) for word in self.words if Path(word).is_file()}

    def _filled(self, values: Mapping[str, str]) -> list[str]:
        return [word.format(**values) for word in self.words]

    def run(self, values: Mapping[str, str], log: Path, output: Path | None = None) -> int | None:
        """Run the program, and return its exit status, None if it ran too long and was stopped.

        `values`: the text of each placeholder. `log`: gets what it writes to the error output. `output`: gets what it
        writes to the standard output; None for `log`. Raises UsageError if it cannot be started.
        """
        words = self._filled(values)
        with log.open("wb") as told, (output or log).open("wb" if output is not None else "ab") as file:
            try:
                # A new session, so that a timeout also ends the processes that the program has started.
                running = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=told if output is None else file,
                    stderr=told,
                    start_new_session=True,
                )
            except OSError as error:
                raise UsageError(
                    f"{self._option}: {words[0]} cannot be started: {error.strerror}; check its path"
                ) from None
            try:
                return running.wait(self.timeout)
            except subprocess.TimeoutExpired:
                return None
            finally:
                if running.poll() is None:
                    os.killpg(running.pid, signal.SIGKILL)
                    running.wait()


def last_words(log: Path) -> str:
    """Return the last line that a program wrote; `none` if it wrote none."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][-_TOLD:] if lines else "none"
