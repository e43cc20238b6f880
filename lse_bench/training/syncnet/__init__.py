"""SyncNet, trained by this project's own method."""
