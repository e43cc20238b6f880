"""Run directories: a description of the run, one record per clip, and a summary computed from the records."""
