"""Detect and track faces in frames."""
