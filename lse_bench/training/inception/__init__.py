"""Training of a narrow Inception on MiniLRS, for FID without a download."""
