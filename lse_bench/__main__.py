"""Entry point of `lse-bench` and `python -m lse_bench`. Commands that read clips run under a supervisor."""

from __future__ import annotations

import os
import sys

from lse_bench.processor import usable_cores
from lse_bench.supervisor import end_with_supervisor, supervise, wanted


def main() -> None:
    """Run the command line of the script `lse-bench`."""
    if usable_cores() < (os.cpu_count() or 1):  # torch and BLAS ignore CPU quotas
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    if wanted(sys.argv[1:]):
        sys.exit(supervise(sys.argv[1:]))
    end_with_supervisor()
    from lse_bench.cli import main as command

    command()


if __name__ == "__main__":
    main()
