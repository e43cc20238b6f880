"""Fidelity of generated videos: FID and KID on Inception features, and fd-sync on SyncNet's lip embeddings."""
