"""Versions in records: what work was begun with, and what joined later."""

from __future__ import annotations

from pathlib import Path

import pytest

from lse_bench import versions
from lse_bench.minilrs import corpus as minilrs
from lse_bench.minilrs.plan import Spec
from lse_bench.versions import joined_versions


def test_later_versions_stand_beside_the_first() -> None:
    one, two = {"av": "18.1"}, {"av": "19.0"}
    assert joined_versions(None, one) == {"versions": one}
    assert joined_versions({"spec": {}}, one) == {"versions": one}
    assert joined_versions({"versions": one}, one) == {"versions": one}
    gone_on = joined_versions({"versions": one}, two)
    assert gone_on == {"versions": one, "continued_with": [two]}
    assert joined_versions(gone_on, two) == gone_on
    assert joined_versions(gone_on, one) == gone_on


def test_a_corpus_names_every_version_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Spec(speakers=2, clips=1, seed=3, split="test", frames=25)
    began = minilrs.make_corpus(spec, tmp_path / "c", workers=1)
    assert began["versions"]["av"] == versions.installed("av") and "continued_with" not in began
    assert began["versions"]["espeakng-loader"] != "not installed"
    next((tmp_path / "c").rglob("*.mp4")).unlink()
    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda package: "99.0" if package == "numpy" else real(package))
    ended = minilrs.make_corpus(spec, tmp_path / "c", workers=1)
    assert ended["versions"] == began["versions"]
    assert [later["numpy"] for later in ended["continued_with"]] == ["99.0"]
