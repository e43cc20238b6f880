"""One text, five languages: a name reads as it is wherever it is shown."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from lse_bench.tables import escape
from lse_bench.tables.curves import svg_of
from lse_bench.tables.formats import csv_text

NAMES = [
    r"a $\lipsync$",
    "a|b",
    "_ours",
    "a_b__c",
    "a^~{}\\%&#",
    "=1+1",
    "@cmd",
    "<script>alert('x')</script>",
    'a" onload="x',
    "*bold* [link](x) `code`",
    "line\nbreak",
    "u\u2028v",
    "唇 → ± …",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_of_a_markdown_table_stays_one_cell(name: str) -> None:
    cell = escape.markdown(name)
    plain = cell.replace("\\\\", "")  # escaped backslashes first
    assert plain.count("|") == plain.count("\\|") and "\n" not in cell
    unmarked = "".join(
        letter for place, letter in enumerate(cell) if letter != "\\" or (place and cell[place - 1] == "\\")
    )
    assert unmarked.replace("\\", "") == " ".join(name.splitlines()).replace("\\", "")


@pytest.mark.parametrize("name", NAMES)
def test_latex_holds_no_command_of_the_name(name: str) -> None:
    text = escape.latex(name)
    for made in (*escape._LATEX.values(),):
        text = text.replace(made, "")
    assert not set(text) & set("\\{}$%_&#^~<>|") and "\n" not in text


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_shows_the_name_itself(name: str) -> None:
    def draw(axes: object) -> None:
        axes.plot([0, 1], [0, 1], label=escape.plot(name))  # type: ignore[attr-defined]
        axes.legend()  # type: ignore[attr-defined]

    shown = [node.text for node in ET.fromstring(svg_of(draw)).iter() if node.tag.endswith("text")]
    assert " ".join(name.splitlines()) in [str(text).strip() for text in shown]


@pytest.mark.parametrize("name", NAMES)
def test_a_spreadsheet_sees_text(name: str) -> None:
    text = csv_text(pd.DataFrame([[name, -1.5]], columns=["name", "value"], dtype=object))
    ((cell, value),) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert cell.removeprefix("'") == name and not cell.startswith(("=", "+", "-", "@"))
    assert value == "-1.5", "a number stays one"


@pytest.mark.parametrize("name", NAMES)
def test_html_and_script_end_where_we_end_them(name: str) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[str] = []
            self.text, self.title = "", None

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.title = dict(attrs).get("title")

        def handle_data(self, data: str) -> None:
            self.text += data

    reader = Reader()
    reader.feed(f'<p title="{escape.html(name)}">{escape.html(name)}</p>')
    reader.close()
    assert (reader.tags, reader.title, reader.text) == (["p"], name, name)
    inside = escape.script({"name": name})
    assert "<" not in inside and "\u2028" not in inside and json.loads(inside) == {"name": name}


def test_nothing_else_escapes_names() -> None:
    package = Path(escape.__file__).parents[1]
    others = [
        path.name
        for path in package.rglob("*.py")
        if path.name != "escape.py"
        and any(word in path.read_text(encoding="utf-8") for word in ("html.escape", "textbackslash", "u003c"))
    ]
    assert not others
