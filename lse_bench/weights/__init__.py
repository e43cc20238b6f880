"""Weights: reading checkpoints without executing anything, and values by formula for tests and demos."""
