"""Docstrings and messages of two versions of this tree side by side, drawn at random, to be read by a person.

    python -m measurements.quality.reading --old 35b0ea5 --seed 1

A docstring's partner is that of the same name, wherever it lies now. A message's partner is the most alike message of
the other version, by words.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("lse_bench", "baselines", "leaderboard")
WORDS = 6  # a shorter message has nothing to read


@dataclass(frozen=True, slots=True)
class Text:
    """A docstring or message: whose it is, and what it says."""

    name: str
    text: str


def main() -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", required=True, help="A commit.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    given = parser.parse_args()
    dice = random.Random(given.seed)
    before, now = _trees(given.old), _trees(None)
    for what, read in (("docstring", _docstrings), ("message", _messages)):
        old = [text for tree in before for text in read(tree)]
        new = [text for tree in now for text in read(tree)]
        for number, text in enumerate(dice.sample(new, given.count), 1):
            partner = _partner(text, old, what)
            print(f"{what} {number}: {text.name}\n  old: {partner}\n  new: {_one_line(text.text)}\n")


def _trees(commit: str | None) -> list[ast.Module]:
    if commit is None:
        paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
        return [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    listed = _git("ls-tree", "-r", "--name-only", commit, *PACKAGES).splitlines()
    return [ast.parse(_git("show", f"{commit}:{name}")) for name in listed if name.endswith(".py")]


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _docstrings(tree: ast.Module) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node)
            if text:
                yield Text(node.name, text)


def _messages(tree: ast.Module) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                text = _text_of(argument)
                if len(text.split()) >= WORDS:
                    yield Text(ast.unparse(node.exc.func), text)


def _text_of(node: ast.expr) -> str:
    """A string, with what is put into it as `…`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def _partner(text: Text, others: list[Text], what: str) -> str:
    if what == "docstring":
        same = [other for other in others if other.name == text.name]
        alike = max(same, key=lambda other: _likeness(text, other), default=None)
    else:
        alike = max(others, key=lambda other: _likeness(text, other))
        alike = alike if _likeness(text, alike) > 0.5 else None
    if alike is None:
        return "(none)"
    return "(the same)" if alike.text == text.text else _one_line(alike.text)


def _likeness(one: Text, other: Text) -> float:
    return difflib.SequenceMatcher(None, one.text.split(), other.text.split()).ratio()


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
