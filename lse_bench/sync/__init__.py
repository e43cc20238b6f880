"""Lip-sync scores: SyncNet, the distance curve, protocols and the scorer."""
