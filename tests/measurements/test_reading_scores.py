"""The tables of docs/reading-scores.md are those that the command makes today."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
# Processors and libraries move a score by less; the texts of the page do not depend on the last digit.
APART = 0.06


@pytest.fixture(scope="module")
def reading_scores() -> ModuleType:
    path = ROOT / "measurements" / "quality" / "reading_scores.py"
    spec = importlib.util.spec_from_file_location("reading_scores", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reading_scores"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def numbers(row: str) -> list[float]:
    return [float(text) for text in re.findall(r"[+-]?\d+\.\d+|[+-]\d+(?= )", row)]


@pytest.mark.slow
def test_the_tables_are_made_by_the_command(reading_scores: ModuleType, tmp_path: Path) -> None:
    found, shown = reading_scores.tables(tmp_path, count=1)  # the page has four seeds, which take long
    page = reading_scores.PAGE.read_text(encoding="utf-8")
    assert set(shown) == set(reading_scores.DRAWN) and reading_scores.FIGURE.exists()
    for name, text in found.items():
        written = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", page, re.DOTALL)
        assert written is not None, name
        theirs, ours = written[1].split("\n"), text.split("\n")
        assert [row.split("|")[1] for row in theirs] == [row.split("|")[1] for row in ours]
        for before, now in zip(theirs, ours, strict=True):
            if name == "seeds" and "standard deviation" in before:
                continue  # of all seeds
            told, made = before.split("|"), now.split("|")
            assert told[-2].strip() == made[-2].strip() or name == "seeds"
            for cell, other_cell in zip(told, made, strict=True):
                for one, other in zip(numbers(cell), numbers(other_cell), strict=name != "seeds"):
                    assert one == pytest.approx(other, abs=APART if abs(one) < 20 else 3), before
