"""`python -m lse_bench`: the command without its script."""

from lse_bench.cli import main

main()
