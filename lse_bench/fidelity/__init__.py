"""Fidelity of pictures: Inception features, FID and KID."""
