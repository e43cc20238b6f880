"""Lip-sync scoring: SyncNet, the distance curve, the protocols and the scorer."""
