"""Versions in records: what work was begun with, and what joined later."""

from __future__ import annotations

from pathlib import Path

import pytest

from lse_bench import versions
from lse_bench.minilrs import corpus as minilrs
from lse_bench.minilrs.plan import Spec
from lse_bench.processor import machine
from lse_bench.versions import joined


def test_later_surroundings_stand_beside_the_first() -> None:
    one, two = ({"versions": {"av": version}, "machine": {"threads": 2}} for version in ("18.1", "19.0"))
    assert joined(None, one) == one
    assert joined({"spec": {}}, one) == one
    assert joined(one, one) == one
    gone_on = joined(one, two)
    assert gone_on == one | {"continued_with": [two]}
    assert joined(gone_on, two) == gone_on
    assert joined(gone_on, one) == gone_on


def test_a_record_without_a_machine_gets_that_of_who_goes_on() -> None:
    now = {"versions": {"av": "18.1"}, "machine": {"threads": 2}}
    assert joined({"versions": {"av": "18.1"}}, now) == {"versions": {"av": "18.1"}, "continued_with": [now]}


def test_a_corpus_names_every_version_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = Spec(speakers=2, clips=1, seed=3, split="test", frames=25)
    began = minilrs.make_corpus(spec, tmp_path / "c", workers=1)
    assert began.versions is not None and began.versions["av"] == versions.installed("av")
    assert began.continued_with is None and began.machine == machine()
    assert began.versions["espeakng-loader"] != "not installed"
    next((tmp_path / "c").rglob("*.mp4")).unlink()
    real = versions.installed
    monkeypatch.setattr(versions, "installed", lambda package: "99.0" if package == "numpy" else real(package))
    ended = minilrs.make_corpus(spec, tmp_path / "c", workers=1)
    assert ended.versions == began.versions
    assert [later["versions"]["numpy"] for later in ended.continued_with or []] == ["99.0"]
