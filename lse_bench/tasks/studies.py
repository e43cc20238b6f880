"""The tasks that make a study with people, read its answers, and set measures beside people's votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.manifests.manifest import Manifest, read_manifest
from lse_bench.reporting import Report
from lse_bench.runs.read import Run
from lse_bench.runs.verify import refuse_edited
from lse_bench.storage import write_atomically
from lse_bench.stored import write_stored
from lse_bench.study.answers import Answers
from lse_bench.study.checks import RULES, judge, read_rules, reasons_counted
from lse_bench.study.collected import csv_of, rows_of, votes_of
from lse_bench.study.create import Asked, create
from lse_bench.study.estimate import Effects
from lse_bench.study.folder import Study, read_secret, read_study
from lse_bench.study.form import read_form_answers
from lse_bench.study.report import Excluded, Exclusions, StudyReport, report_votes
from lse_bench.study.report_page import markdown
from lse_bench.study.sheet import Sheet, preset_sheet, read_sheet
from lse_bench.study.votes import Votes, read_votes
from lse_bench.tables.paired import refuse_mixed
from lse_bench.tasks.declared_studies import StudyOptions
from lse_bench.tasks.options import settings_of
from lse_bench.versions import require

REPORT_FILE, PAGE_FILE = "report.json", "report.md"


def sheet_of(options: StudyOptions) -> Sheet:
    """Return what raters read and are asked. Raises UsageError if a file, preset or language is wrong."""
    if options.questions is not None:
        return read_sheet(options.questions)
    return preset_sheet(options.preset, options.language)


def create_study(
    out: Path,
    manifest: Path,
    methods: Mapping[str, Path],
    options: StudyOptions,
    report: Report,
    *,
    root: Path | None = None,
) -> Study:
    """Make a study in the folder `out`. A repeated call continues a stopped one.

    `methods`: the folder of each method's videos, by name. `root`: the folder with the files of the manifest, None for
    the one that it names. Raises UsageError if a folder, an option or the design is wrong.
    """
    require("jinja2", "study", "a study")
    pairs = read_manifest(manifest)
    folder = pairs.folder(root)
    named = settings_of(options.names, "--names")
    unknown = next((name for name in named if name not in methods), None)
    if unknown is not None:
        raise UsageError(f"--names {unknown}=…: there is no --method {unknown}")
    outputs = {}
    for name, videos in methods.items():
        source = Source(
            [videos], folder if options.pair_sounds else None, manifest, named.get(name), options.pair_sounds
        )
        outputs[name] = _by_id(name, source.clips(), pairs, report)
    asked = Asked(
        sheet=sheet_of(options),
        outputs=outputs,
        anchors=() if options.anchors == "none" else tuple(options.anchors.split(",")),
        clips=options.clips,
        trials=options.trials,
        raters=options.raters,
        effects=Effects(options.power, options.difference, options.share),
        longest=options.longest,
        gold=options.gold,
        seed=options.seed,
        invited=options.invited,
        completion_code=options.completion_code,
        completion_url=options.completion_url,
        contact=options.contact,
        licence=options.licence,
        static=options.static,
    )
    return create(out, pairs, folder, asked, report)


def _by_id(name: str, clips: list[ListedClip], pairs: Manifest, report: Report) -> dict[str, ListedClip]:
    """Return the videos of a method by the id of their pair, and tell how many are missing."""
    there = {clip.id: clip for clip in clips if clip.absent is None}
    missing = sum(job.id not in there for job in pairs.jobs)
    if missing:
        report.warn(f"{name}: {missing} of {len(pairs.jobs)} pairs have no video; they are not shown")
    return there


def report_study(
    out: Path, votes: Path, runs: Mapping[str, Run], report: Report, *, rules: Path | None = None
) -> StudyReport:
    """Analyse the votes of a study's folder or of a CSV file, and write report.json and report.md to the folder `out`.

    `runs`: runs of the same methods by the method's name in the votes. `rules`: a TOML file of rules by which raters of
    a study are used, None for the default ones. Raises UsageError if the file is ill-formed, if a run is of no method
    of the votes, or if the runs cannot be compared with each other.
    """
    study, exclusions = None, None
    if votes.is_dir():
        read, study, exclusions = _votes_of_study(votes, rules)
    elif rules is not None:
        raise UsageError(f"{votes}: --rules choose among the raters of a study; a file of votes has no checks")
    else:
        read = read_votes(votes)
    refuse_edited(list(runs.values()))
    refuse_mixed(list(runs.values()), lists=None)
    with report.working(f"Analysing {votes}"):
        found = report_votes(read, runs, study, exclusions)
    write_stored(out / REPORT_FILE, found)
    write_atomically(out / PAGE_FILE, markdown(found).encode())
    for one in found.measures:
        if one.pairs is not None and not one.pairs.n:
            report.warn(
                f"{one.measure}: no comparison of the votes has a value in both runs. Are items the clips' ids?"
            )
    return found


def _votes_of_study(folder: Path, rules: Path | None) -> tuple[Votes, Study, Exclusions]:
    study, chosen = read_study(folder), RULES if rules is None else read_rules(rules)
    with Answers(folder) as answers:
        given = answers.all()
        judgements = judge(study, answers.raters(), given, chosen)
    exclusions = Exclusions(
        began=len(judgements),
        accepted=sum(one.accepted for one in judgements),
        used=sum(one.used for one in judgements),
        reasons=reasons_counted(judgements),
        rules=chosen,
        excluded=[
            Excluded(rater=one.rater.number, accepted=one.accepted, reasons=one.reasons)
            for one in judgements
            if not one.used
        ],
    )
    votes = votes_of(study, judgements, given)
    if len(votes.methods) < 2:
        told = ", ".join(f"{name} {count}" for name, count in exclusions.reasons.items()) or "nobody took part"
        raise UsageError(
            f"{folder}: no votes to analyse: {exclusions.began} raters began, {exclusions.used} are used "
            f"({told}). --rules changes the rules"
        )
    return votes, study, exclusions


def export_study(folder: Path, rules: Path | None = None) -> str:
    """Return the answers of a study as CSV, one row an answer; see `collected.Row`.

    `rules`: as in `report_study`. Raises UsageError if the folder holds no study.
    """
    study, secret = read_study(folder), read_secret(folder)
    with Answers(folder) as answers:
        given = answers.all()
        judgements = judge(study, answers.raters(), given, RULES if rules is None else read_rules(rules))
    return csv_of(rows_of(study, secret, judgements, given))


def import_answers(folder: Path, files: Sequence[Path], report: Report) -> int:
    """Add the answers of files that raters of the plain files saved, and return the number of new answers.

    A rater's later file adds what an earlier one lacked; what was added before stays. Raises UsageError if a file is
    not one of this study; nothing is added then.
    """
    study = read_study(folder)
    read = [read_form_answers(path, study) for path in files]
    added = 0
    with Answers(folder) as answers:
        for path, (about, given) in zip(files, read, strict=True):
            new = answers.take(about.rater, about.plan, about.begun, about.finished, given)
            added += new
            if not new:
                report.warn(f"{path}: all answers of the rater {about.rater} are in the study already")
            sharing = sum(one.plan == about.plan and one.withdrawn is None for one in answers.raters())
            if new and sharing > 1:
                report.warn(
                    f"{path}: {sharing} raters have used the page rater-{about.plan + 1:03d}; all of them count"
                )
    return added
