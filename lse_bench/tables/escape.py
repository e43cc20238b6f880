"""One text in five languages: a name is shown as it is in LaTeX, Markdown, plots, spreadsheets and HTML."""

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
    """Text for LaTeX, of one line."""
    return "".join(_LATEX.get(letter, letter) for letter in _line(text))


def markdown(text: str) -> str:
    """Text for a cell of a Markdown table."""
    marked = re.sub(r"([\\`*\[\]<>|~])", r"\\\1", _line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", marked)  # within a word it is no markup


def plot(text: str) -> str:
    """A label for matplotlib, whose text is not parsed; one that begins with `_` would be left out of a legend."""
    line = _line(text)
    return f" {line}" if line.startswith("_") else line


def csv(value: Any) -> Any:
    """A cell of a CSV file. Text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def html(text: str) -> str:
    """Text for HTML, in an element or in a quoted attribute."""
    return _html.escape(text, quote=True)


def script(content: Any) -> str:
    """JSON for a script element: no text in it can end the element, or the line."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f\u2028\u2029]+", " ", text)
