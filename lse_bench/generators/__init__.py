"""Generators: one interface for models and programs that redraw lips, and the runner that makes videos with them."""
