"""Escape text so that it is shown unchanged in LaTeX, Markdown, plots, spreadsheets and HTML."""

from __future__ import annotations

import html as _html
import json
import re
from typing import Any

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "%": r"\%",
    "_": r"\_",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "±": r"$\pm$",
    "†": r"$\dagger$",
    "…": r"\ldots{}",
    "–": "--",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def latex(text: str) -> str:
    """Escape text for LaTeX. Line breaks and control characters become spaces."""
    return "".join(_LATEX.get(letter, letter) for letter in _line(text))


def markdown(text: str) -> str:
    """Escape text for a cell of a Markdown table."""
    marked = re.sub(r"([\\`*\[\]<>|~])", r"\\\1", _line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", marked)  # an underscore within a word is not markup


def plot(text: str) -> str:
    """Return a label for matplotlib, with formulas switched off.

    A space goes before a leading `_`, because matplotlib leaves such labels out of a legend.
    """
    line = _line(text)
    return f" {line}" if line.startswith("_") else line


def csv(value: Any) -> Any:
    """Return the cell of a CSV file. An apostrophe goes before text that a spreadsheet would read as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def html(text: str) -> str:
    """Escape text for an HTML element or a quoted attribute."""
    return _html.escape(text, quote=True)


def script(content: Any) -> str:
    """Return `content` as JSON for an HTML script element. No text in it can end the element or the line."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", text)
