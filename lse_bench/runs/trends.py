"""Say in words what an offset does over time."""

from __future__ import annotations

from lse_bench.runs.schema import Trend


def told(trend: Trend) -> str:
    """Return the trend of an offset as a phrase, such as `drifts by +40.1 ms a minute (+39.0 … +41.2)`."""
    if trend.trend == "drift" and trend.ms_per_minute is not None:
        interval = "" if trend.ci95 is None else f" ({trend.ci95[0]:+.1f} … {trend.ci95[1]:+.1f})"
        return f"drifts by {trend.ms_per_minute:+.1f} ms a minute{interval}"
    if trend.trend == "jumps":
        jumps = ", ".join(f"{one.at:.1f} s ({one.before_ms:+.0f} to {one.after_ms:+.0f} ms)" for one in trend.jumps)
        return f"jumps at {jumps}"
    return trend.trend
