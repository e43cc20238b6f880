"""`lse-bench` and `python -m lse_bench`: the command, supervised where it reads clips."""

from __future__ import annotations

import sys

from lse_bench.supervisor import end_with_supervisor, supervise, wanted


def main() -> None:
    """Entry point of the script `lse-bench`."""
    if wanted(sys.argv[1:]):
        sys.exit(supervise(sys.argv[1:]))
    end_with_supervisor()
    from lse_bench.cli import main as command

    command()


if __name__ == "__main__":
    main()
