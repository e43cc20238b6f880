"""Runs side by side: pairs, ranks, formats, curves."""
