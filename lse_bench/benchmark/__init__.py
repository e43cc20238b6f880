"""Whole benchmarks from one file: generators, manifests and protocols into a directory of runs."""
