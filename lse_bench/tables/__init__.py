"""Compare runs: paired differences, ranks, tables in several formats, and plots of curves."""
