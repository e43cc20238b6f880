"""The command inside this process: for what it refuses, where a start of Python would take longer than the work."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass

from lse_bench.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def lse_bench_here(*arguments: object) -> Ended:
    """What `lse-bench ARGUMENTS` does, without a process of its own."""
    kept, sys.argv = sys.argv, ["lse-bench", *map(str, arguments)]
    status = 0
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        finally:
            sys.argv = kept
    return Ended(status, out.getvalue(), error.getvalue())
