"""Sound features: pure functions from samples to arrays."""
