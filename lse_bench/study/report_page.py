"""The report of people's votes as Markdown."""

from __future__ import annotations

from lse_bench.runs.correlation import LEAST_METHODS
from lse_bench.study.report import Exclusions, StudyReport
from lse_bench.tables import escape

_FEW = 8  # raters or items
_Interval = tuple[float, float]


def markdown(report: StudyReport) -> str:
    """Return the report as Markdown."""
    who = "raters not named" if report.raters is None else _counted(report.raters, "rater")
    lines = [
        "# People's votes",
        "",
        f"{report.votes} votes, {who}, {report.items} items, {len(report.methods)} methods. "
        f"SHA-256 of the votes {report.votes_sha256[:16]}.",
    ]
    if (report.raters is not None and report.raters < _FEW) or report.items < _FEW:
        lines += ["", f"Fewer than {_FEW} raters or items: intervals are wide, and nothing can be concluded."]
    if report.exclusions is not None:
        lines += ["", "## Raters", "", *_raters(report.exclusions)]
    if report.strengths:
        lines += ["", "## Strengths", "", "| method | strength | 95 % interval |", "|---|---:|---:|"]
        lines += [f"| {_name(o.method)} | {_number(o.strength)} | {_range(o.ci95)} |" for o in report.strengths]
        lines += ["", f"Logarithmic scale, mean 0. Intervals: {report.strengths_method}."]
        lines += [
            "",
            "| methods | for the first | for the second | no difference | share of the first | 95 % interval |",
        ]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for one in report.preferences:
            first, second, ties = one.votes
            both = " / ".join(map(_name, one.methods))
            lines.append(f"| {both} | {first} | {second} | {ties} | {_number(one.share)} | {_range(one.ci95)} |")
    if report.opinions:
        lines += ["", "## Mean opinions", "", "| question | method | mean | 95 % interval | ratings | raters | clips |"]
        lines += ["|---|---|---:|---:|---:|---:|---:|"]
        for row in report.opinions:
            numbers = f"{_number(row.mean)} | {_range(row.ci95)} | {row.n} | {row.raters} | {row.clips}"
            lines.append(f"| {_name(row.question)} | {_name(row.method)} | {numbers} |")
        how = dict.fromkeys(row.ci_method for row in report.opinions)
        lines += ["", f"Intervals: {'; '.join(how)}."]
        lines += ["", "| question | methods | difference | 95 % interval |", "|---|---|---:|---:|"]
        for part in report.differences:
            both = " − ".join(map(_name, part.methods))
            lines.append(f"| {_name(part.question)} | {both} | {_number(part.difference)} | {_range(part.ci95)} |")
    told = ", ".join(f"{_name(name)} {_number(value)}" for name, value in report.alpha.items())
    lines += ["", f"Krippendorff's alpha: {told}."]
    if report.measures:
        lines += ["", "## Measures and people", ""]
        lines += [
            "| measure | comparisons agreed on | 95 % interval | n | Spearman, methods | Kendall, methods | methods |"
        ]
        lines += ["|---|---:|---:|---:|---:|---:|---:|"]
        for m in report.measures:
            pairs = ("–", "–", "–") if m.pairs is None else (_number(m.pairs.share), _range(m.pairs.ci95), m.pairs.n)
            over = (_number(m.methods.spearman), _number(m.methods.kendall), m.methods.n)
            lines.append(f"| {m.measure} | {' | '.join(map(str, (*pairs, *over)))} |")
        lines += ["", "Chance agrees on 0.5 of the comparisons. A correlation of 1 is full agreement."]
        if (ceiling := report.ceiling) is not None:
            lines += [
                f"One person agrees with the majority of the others on {_number(ceiling.share)} "
                f"({_range(ceiling.ci95)}) of {ceiling.n} votes: no measure can be expected to agree more."
            ]
        if any(m.methods.n < LEAST_METHODS for m in report.measures):
            lines += [f"A correlation over fewer than {LEAST_METHODS} methods has no interval."]
        if any(m.clips for m in report.measures):
            lines += ["", "| measure | Spearman, clips | 95 % interval | Kendall, clips | 95 % interval | clips |"]
            lines += ["|---|---:|---:|---:|---:|---:|"]
        for m in report.measures:
            if m.clips is not None:
                c = m.clips
                rho, tau = (_number(c.spearman), _range(c.spearman_ci95)), (_number(c.kendall), _range(c.kendall_ci95))
                lines.append(f"| {m.measure} | {' | '.join((*rho, *tau, str(c.n)))} |")
        lines += ["", *(f"- {_name(name)}: `{signature}`" for name, signature in report.signatures.items())]
    return "\n".join(lines) + "\n"


def _raters(told: Exclusions) -> list[str]:
    reasons = ", ".join(f"{name} {count}" for name, count in told.reasons.items()) or "none"
    rules = ", ".join(f"{name} {'off' if value is None else value}" for name, value in told.rules)
    return [
        f"{_counted(told.began, 'rater')} began, {told.accepted} did the whole work (accepted), {told.used} of them "
        f"also passed the checks (used). Excluded by rule: {reasons}.",
        "",
        f"Rules: {rules}.",
        *(["", "| excluded rater | accepted | broken rules |", "|---|---|---|"] if told.excluded else []),
        *(f"| {one.rater} | {'yes' if one.accepted else 'no'} | {', '.join(one.reasons)} |" for one in told.excluded),
    ]


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _name(text: str) -> str:
    return escape.markdown(text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(ci95: _Interval | None) -> str:
    return "–" if ci95 is None else f"{ci95[0]:.3f} to {ci95[1]:.3f}"
