"""Runs: a directory with what was done, one record per clip, and a summary that follows from the records."""
