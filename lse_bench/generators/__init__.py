"""Generators: one interface for whatever redraws lips, and the runner that makes videos with it."""
