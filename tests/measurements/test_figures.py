"""Figures of speed: kept in a file, and the table of the document that is made from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from measurements.speed import leaderboard
from measurements.speed.figures import KEPT, page, shown, tell


def test_figures_are_kept_and_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "figures.json"
    tell("sound", "not kept", 1, "s")
    monkeypatch.setenv(KEPT, str(file))
    tell("sound", "mel", 2.5, "s")
    tell("lse", "whole / network", 1.0712, "", "1.10 or less")
    tell("sound", "mel", 0.0312, "s")  # measured again
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4 and printed[2].split()[-5:] == ["1.07", "(wanted:", "1.10", "or", "less)"]
    held = json.loads(file.read_text())
    assert [(row["what"], row["value"]) for row in held["figures"]] == [("whole / network", 1.0712), ("mel", 0.0312)]
    assert held["machine"]["cores"] >= 1 and "torch" in held["versions"]
    assert page(held).splitlines()[1:] == [
        "",
        "| `python -m measurements.speed.lse` | value | unit | wanted |",
        "|---|---:|---|---|",
        "| whole / network | 1.07 |  | 1.10 or less |",
        "",
        "| `python -m measurements.speed.sound` | value | unit | wanted |",
        "|---|---:|---|---|",
        "| mel | 0.0312 | s |  |",
    ]
    held["machine"]["processor"] = "another"
    file.write_text(json.dumps(held))
    with pytest.raises(ValueError, match="another machine"):
        tell("sound", "mel", 1, "s")
    assert json.loads(file.read_text()) == held


def test_the_page_of_the_document_is_made_from_its_figures() -> None:
    """The figures of a processor in docs/speed.md are those of the file, none typed by hand."""
    docs = Path(__file__).parents[2] / "docs"
    held = json.loads((docs / "speed" / "processor.json").read_text(encoding="utf-8"))
    assert page(held) in (docs / "speed.md").read_text(encoding="utf-8")


def test_the_leaderboard_is_timed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of made-up records are runs that the leaderboard takes."""
    monkeypatch.setattr(leaderboard, "PAIRS", 60)
    monkeypatch.setattr(leaderboard.shutil, "which", lambda name: None)
    leaderboard.main()
    assert "tables, plots and page of three such runs" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (99.94, "99.9"), (0.53, "0.53"), (1, "1"), (0, "0")])
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert shown(value) == text
