"""Training of SyncNet by this project's own method."""
