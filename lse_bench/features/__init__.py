"""Compute sound features: pure functions from samples to arrays."""
