"""Fidelity of videos: FID and KID on Inception features, FVD on I3D features, fd-sync on SyncNet's lip embeddings."""
