"""Weights: reading checkpoints without executing code from them, and weights by formula for tests and demos."""
