"""Benchmarks that one file describes: generators, manifests and protocols. The result is a folder of runs."""
