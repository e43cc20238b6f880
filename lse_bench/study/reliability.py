"""The agreement of raters with each other: Krippendorff's alpha."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lse_bench.study.votes import Votes


def alphas(votes: Votes) -> dict[str, float | None]:
    """Return Krippendorff's alpha of each question. Comparisons without names of raters have counts only."""
    import krippendorff

    found: dict[str, float | None] = {}
    if votes.comparisons:
        units: dict[tuple[str, str, str], Any] = {}
        for one in votes.comparisons:
            key = (one.item, one.first, one.second)
            counts = np.array([one.for_first, one.for_second, one.ties])
            units[key] = units.get(key, np.zeros(3, int)) + counts
        found["comparison"] = _alpha(krippendorff, {"value_counts": np.array(list(units.values()))}, "nominal")
    for question in dict.fromkeys(one.question for one in votes.ratings):
        asked = [one for one in votes.ratings if one.question == question]
        raters = {name: place for place, name in enumerate(dict.fromkeys(one.rater for one in asked))}
        clips = {key: place for place, key in enumerate(dict.fromkeys((one.item, one.method) for one in asked))}
        data = np.full((len(raters), len(clips)), np.nan)
        for rating in asked:
            data[raters[rating.rater], clips[rating.item, rating.method]] = rating.value
        found[question] = _alpha(krippendorff, {"reliability_data": data}, "interval")
    return found


def _alpha(library: Any, data: dict[str, Any], scale: str) -> float | None:
    """Return alpha; None if no clip has two votes, or if all votes are equal."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            value = float(library.alpha(**data, level_of_measurement=scale))
    except (ValueError, AssertionError, ZeroDivisionError):
        return None
    return value if np.isfinite(value) else None
