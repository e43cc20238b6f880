"""Make a study: clips, plans of all raters, and study.json."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.listed import ListedClip
from lse_bench.manifests.manifest import Manifest
from lse_bench.manifests.official_lists import corpora
from lse_bench.reporting import Report
from lse_bench.storage import open_lines, remove_leftovers, write_atomically
from lse_bench.stored import read_stored_lines
from lse_bench.study.answers import Answers
from lse_bench.study.estimate import Effects, estimates, number_of_raters, raters_for
from lse_bench.study.folder import (
    CLIPS,
    STUDY_FILE,
    Study,
    StudyClip,
    clip_path,
    keep_secret,
    write_study,
)
from lse_bench.study.form import write_form
from lse_bench.study.materials import Maker, candidates, make_gold, make_trials, read_gold
from lse_bench.study.plan import LEAST_SOURCES, MOVED, REAL, UNSYNCED, Design, plan_of
from lse_bench.study.sheet import Sheet
from lse_bench.versions import surroundings

INVITATIONS_FILE = "invitations.csv"
_MADE_FILE = "clips.jsonl"
_WAY_OUT = "Create the study in a new folder"
_MOST_METHODS, _MOST_NAME, _FEW_TRIALS = 20, 60, 12


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a study is made from.

    `sheet`: what raters read and are asked. `outputs`: the clips of each method by the id of the pair. `anchors`: of
    `real` and `unsynced`. `clips`, `trials`, `raters`: numbers; raters None for what `effects` asks for. `longest`:
    seconds. `gold`: a CSV file, or None. `static`: whether plain files are written too. The rest is as in `Study`.
    """

    sheet: Sheet
    outputs: Mapping[str, Mapping[str, ListedClip]]
    anchors: Sequence[str]
    clips: int
    trials: int
    raters: int | None
    effects: Effects
    longest: float
    gold: Path | None
    seed: int
    invited: bool
    completion_code: str | None
    completion_url: str | None
    contact: str | None
    licence: str | None
    static: bool


def create(out: Path, manifest: Manifest, root: Path, asked: Asked, report: Report) -> Study:
    """Make a study in the folder `out`. A repeated call continues a stopped one.

    Raises UsageError if the design is not possible, or if `out` holds a study.
    """
    if (out / STUDY_FILE).exists():
        raise UsageError(f"{out}: holds a study already. Choose another --out")
    url = asked.completion_url
    if url is not None and not url.startswith(("https://", "http://")):
        raise UsageError(f"--completion-url {url}: an address that begins with https:// is needed")
    methods = _methods(asked, manifest)
    design = _design(asked, methods, [f"source {number}" for number in range(asked.clips)], {})
    number_of_raters(design, asked.effects, asked.raters)  # refuses before the first clip is made
    pairs = candidates(manifest.jobs, root, asked.outputs, asked.seed)
    known = {} if asked.gold is None else read_gold(asked.gold, asked.sheet.questions)
    out.mkdir(parents=True, exist_ok=True)
    secret = keep_secret(out)
    with open_lines(out / _MADE_FILE) as append, report.counting("making clips", asked.clips) as counter:
        remove_leftovers(out / CLIPS)
        rows = read_stored_lines(out / _MADE_FILE, StudyClip, "a clip", _WAY_OUT)
        maker = Maker(out, secret, {row.name: row for row in rows}, append, asked.longest)

        def made(reason: str | None) -> None:
            if reason is None:
                counter.advance("making clips")
            else:
                counter.warn(reason)

        trials, spare, items = make_trials(pairs, asked.clips, asked.anchors, maker, made)
        if spare.job.id in items:
            counter.warn(
                f"the two examples show the source of {spare.job.id}, which raters judge too: no other source is left. "
                f"A smaller --clips leaves one"
            )
        gold_clips, gold = make_gold(known, maker)
        clips = [*trials, *maker.example(spare), *gold_clips, *maker.beeps()]
        for remark in maker.remarks:
            counter.warn(remark)
    design = _design(
        asked, methods, items, {(c.item or "", c.method): c.name for c in trials}, [g.name for g in gold_clips]
    )
    raters = number_of_raters(design, asked.effects, asked.raters)
    study = Study(
        **surroundings(),
        id=secrets.token_hex(8),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        manifest_sha256=manifest.sha256,
        corpus=manifest.corpus,
        licence=asked.licence or _licence(manifest.corpus),
        contact=asked.contact,
        methods=methods,
        items=items,
        trials=asked.trials,
        raters=raters,
        seed=asked.seed,
        invited=asked.invited,
        completion_code=asked.completion_code,
        completion_url=asked.completion_url,
        sheet=asked.sheet,
        estimates=estimates(design, asked.effects, raters),
        clips=clips,
        gold=gold,
        plans=[list(plan_of(design, rater)) for rater in range(raters)],
    )
    _warn(study, design, asked, report)
    _remove_others(out, study)
    with Answers(out) as answers:
        if asked.invited:
            _write_invitations(out, answers.invite(raters))
    if asked.static:
        with report.working("Writing the plain files"):
            write_form(out, study)
    write_study(out, study)
    return study


def _warn(study: Study, design: Design, asked: Asked, report: Report) -> None:
    """Tell what makes a study weak."""
    for one in study.estimates:
        if one.power < asked.effects.power:
            needed = raters_for(design, one.kind, asked.effects)
            way = (
                "no number of raters is enough; more clips are needed"
                if needed is None
                else f"{needed} raters are needed"
            )
            report.warn(
                f"{study.raters} raters show the difference with a probability of {one.power:.0%} only ({one.kind}); "
                f"for {asked.effects.power:.0%}, {way}"
            )
    if asked.trials < _FEW_TRIALS:
        report.warn(f"--trials {asked.trials}: with fewer than {_FEW_TRIALS}, checks hardly tell careless raters")
    if asked.contact is None:
        report.warn("no --contact: raters read no address for questions")


def _methods(asked: Asked, manifest: Manifest) -> list[str]:
    """Return the methods, anchors first. Raises UsageError if there are too few or too many, or a name is taken."""
    unknown = next((name for name in asked.anchors if name not in (REAL, UNSYNCED)), None)
    if unknown is not None:
        raise UsageError(f"--anchors {unknown}: there are real and unsynced")
    if len(set(asked.anchors)) < len(asked.anchors):
        raise UsageError(f"--anchors {','.join(asked.anchors)}: an anchor stands there twice")
    for name in asked.outputs:
        if name in (REAL, UNSYNCED, MOVED):
            raise UsageError(
                f"--method {name}: the study makes clips of this name itself; --anchors says which. Choose another name"
            )
        if name != name.strip() or not name.isprintable() or not 0 < len(name) <= _MOST_NAME:
            raise UsageError(
                f"--method {name!r}: a name has 1 to {_MOST_NAME} visible characters, without spaces at its ends"
            )
    if UNSYNCED in asked.anchors and all(job.video == job.sound for job in manifest.jobs):
        raise UsageError(
            f"{manifest.name}: every video has its own sound, so nothing is out of sync. Use --anchors real"
        )
    methods = [*asked.anchors, *asked.outputs]
    if len(methods) < 2 or len(methods) > _MOST_METHODS:
        raise UsageError(f"{len(methods)} methods with the anchors; 2 to {_MOST_METHODS} are compared")
    return methods


def _design(
    asked: Asked,
    methods: Sequence[str],
    sources: Sequence[str],
    clips: Mapping[tuple[str, str], str],
    gold: Sequence[str] = (),
) -> Design:
    design = Design(
        kind=asked.sheet.kind,
        sources=sources,
        methods=methods,
        trials=asked.trials,
        clips=clips,
        gold=gold,
        seed=asked.seed,
    )
    if len(sources) < LEAST_SOURCES:
        raise UsageError(f"--clips {len(sources)}: at least {LEAST_SOURCES} are needed")
    if asked.trials > design.most_trials or (asked.sheet.kind == "both" and asked.trials < 2):
        raise UsageError(
            f"--trials {asked.trials}: {len(sources)} clips of {len(methods)} methods give a rater at most "
            f"{design.most_trials} different trials"
            + (", and a study of ratings and comparisons needs two" if asked.sheet.kind == "both" else "")
        )
    return design


def _licence(corpus: str) -> str | None:
    known = {about.name: about.licence for about in corpora().values()} | {
        name: about.licence for name, about in corpora().items()
    }
    return known.get(corpus) or next((v for k, v in known.items() if corpus.lower().startswith(k.lower())), None)


def _remove_others(out: Path, study: Study) -> None:
    """Remove clips of earlier calls with other options."""
    kept = {clip_path(out, clip.name) for clip in study.clips}
    for path in (out / CLIPS).glob("*.mp4"):
        if path not in kept:
            path.unlink()
    (out / _MADE_FILE).unlink()


def _write_invitations(out: Path, tokens: Sequence[str]) -> None:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["number", "link"])
    rows.writerows([number, f"/r/{token}/"] for number, token in enumerate(tokens, 1))
    write_atomically(out / INVITATIONS_FILE, text.getvalue().encode())
