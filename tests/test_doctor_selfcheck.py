"""The self-check scores a known clip and compares the scores with the published ones."""

from __future__ import annotations

from pathlib import Path

from lse_bench.doctor import selfcheck, selfcheck_published
from lse_bench.manifests.layouts import read_corpus
from lse_bench.sync.scorer import SyncScorer


def test_the_selfcheck_tells_right_from_wrong(corpus: Path, narrow: Path) -> None:
    clip = read_corpus(corpus)[1][0].path
    score = SyncScorer.load(narrow, protocol="lrs@1").score(clip)
    right = {"offset": score.offset, "lse_d": score.lse_d, "lse_c": score.lse_c}
    assert [finding.state for finding in selfcheck(clip, narrow, right)] == ["ok"] * 3
    assert [finding.state for finding in selfcheck(clip, narrow, right | {"lse_d": score.lse_d + 1})].count(
        "missing"
    ) == 1
    (absent,) = selfcheck_published()
    assert absent.fix == "lse-bench weights fetch syncnet_example syncnet_v2"
