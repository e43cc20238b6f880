"""Sphinx: the pages of this folder, and the API from docstrings. Build: python3 bootstrap.py docs"""

from __future__ import annotations

from importlib import metadata

project, author, copyright = "LSE-Bench", "The LSE-Bench authors", "2026, the LSE-Bench authors"
release = metadata.version("lse-bench")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "LSE-Bench"
exclude_patterns = ["_build", "miniature", "reliability", "speed", "training-curves"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
default_role = "code"  # docstrings set code in single backticks
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository
