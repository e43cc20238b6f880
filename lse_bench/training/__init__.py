"""Training: one loop for every method, over Lightning Fabric; each method states its network, losses and data."""
