"""The task that makes a Reliability Card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lse_bench.errors import UsageError, no_such
from lse_bench.execution.inline import Inline
from lse_bench.execution.interface import Executor, Task, Watch
from lse_bench.faces.detectors import load_detector
from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import ListedClip
from lse_bench.measures.registry import names as plugins
from lse_bench.reliability.asked import Asked, asked_of, further_of, names_asked
from lse_bench.reliability.attack import Attack
from lse_bench.reliability.card import Card
from lse_bench.reliability.compute import Beside, card_of
from lse_bench.reliability.copies import DETECTOR, Reading
from lse_bench.reliability.page import write_card
from lse_bench.reliability.plan import PARTS, Part, Planned, plan, refuse_unusable, spread
from lse_bench.reliability.work import CopyMeasures, DamageWork, Remembered
from lse_bench.reporting import Report
from lse_bench.runs.directory import describe_run, prepare_directory, write_summary
from lse_bench.runs.measured import Measures
from lse_bench.runs.read import read_run
from lse_bench.runs.records import iter_heads, iter_records, open_records
from lse_bench.runs.schema import RunDescription
from lse_bench.runs.usage import Session
from lse_bench.runs.work import ScoreWork
from lse_bench.stored import read_stored
from lse_bench.study.report import StudyReport
from lse_bench.tasks.declared_execution import ExecutionOptions, executor_of
from lse_bench.tasks.declared_reliability import ReliabilityOptions
from lse_bench.tasks.options import absolute, settings_of
from lse_bench.tasks.scoring import load_scorer, measures_of, scorer_of
from lse_bench.versions import require

RUN_FOLDER = "run"
_WAY_OUT = "Run lse-bench study report again"


def parts_of(text: str) -> list[Part]:
    """Return the parts in an option, in their order. Raises UsageError if one is unknown or there is none."""
    named = names_asked(text)
    for name in named:
        if name not in PARTS:
            raise UsageError(f"--parts {text}: {no_such('part', name, PARTS)}")
    if not named:
        raise UsageError("--parts names no part of the card")
    return [part for part in PARTS if part in named]


def make_card(
    out: Path,
    source: Source,
    options: ReliabilityOptions,
    report: Report,
    *,
    methods: Mapping[str, Path] | None = None,
    again: Mapping[str, Path] | None = None,
    study: Path | None = None,
    execution: ExecutionOptions | None = None,
    command: Sequence[str] = (),
) -> Card:
    """Make the card of some measures in the folder `out`. A repeated call continues a stopped one.

    `source`: the clips. `methods`: run directories of methods, by name; `again`: of the same clips scored again;
    `study`: the report.json of a study. `command`: the words of the command, which are stored.

    `out` gets card.json, card.md, card.tex, card.html and `run`, the run directory of all damaged copies. Raises
    UsageError if an option or an input is wrong, WeightsError if weights are missing, and KeyboardInterrupt if it is
    stopped; finished records are kept.
    """
    require("jinja2", "demo", "the card's page")
    parts, programs = parts_of(options.parts), settings_of(options.measure_command, "--measure-command")
    names = list(dict.fromkeys([*names_asked(options.measures), *programs]))
    clips = refuse_unusable(source.clips())
    clips = spread(clips, options.clips or len(clips))
    beside = Beside(
        {name: read_run(path, name) for name, path in (methods or {}).items()},
        {name: read_run(path, name) for name, path in (again or {}).items()},
        None if study is None else read_stored(study, StudyReport, _WAY_OUT),
    )
    if len(beside.methods) == 1:
        raise UsageError("--method is given once. The runs of two methods or more are compared")
    executor = executor_of(execution, options.device)
    further = [name for name in dict.fromkeys(further_of(names, [*plugins(), *programs])) if name not in programs]
    scoring = options.scoring(
        ",".join(further) or None, originals=clips[0].path.parent if further or programs else None
    )
    if executor is not None:  # the workers have the devices; this process only looks at the weights
        scoring = replace(scoring, device="cpu")
    held = measures_of(scoring, report)
    asked = asked_of(names, {} if held is None else {one.name: one for one in held.measures})
    measures = None if held is None else _with_sources(held, asked, clips, scoring.fps_policy)
    scorer = scorer_of(scoring, report)
    if scorer.protocol.tracked and "gaming" in parts:
        parts.remove("gaming")
        report.warn(
            f"the part gaming is left out: the attack looks at whole frames, not at faces under {options.protocol}"
        )
    attack = Attack(report.weights(options.weights, options.offline, options.trust).absolute(), options.bound)
    if "oracle" in parts or "gaming" in parts:
        load_detector(DETECTOR)  # a missing extra is told before any work
    with report.working("Planning the copies"):
        planned = list(plan(clips, parts, options.attacked, options.bound))
    run = out / RUN_FOLDER
    description = describe_run(
        scorer,
        [one.listed for one in planned],
        weights=options.weights,
        command=command,
        device=None if executor is None else executor.devices,
        measures=measures,
    )
    prepare_directory(run, description)
    report.say(f"{len(planned)} copies of {len(clips)} clips, {scorer.key['protocol']}, {len(asked)} measures → {out}")
    work = DamageWork(
        ScoreWork(
            partial(load_scorer, absolute(scoring)) if executor is not None else lambda device: scorer,
            measures=measures,
        ),
        Reading(scorer.fps_policy, scorer.sound_stream),
        attack,
    )
    _score(run, planned, description, work, executor or Inline(scorer.device), report)
    with report.working("Computing the card"):
        card = card_of(read_run(run), asked, parts, attack, beside, command)
    write_card(out, card)
    return card


def _with_sources(
    measures: Measures, asked: Sequence[Asked], clips: Sequence[ListedClip], fps_policy: str | None
) -> CopyMeasures:
    """Return measures that compare each copy with its clip. Landmarks of a clip are found once in a process."""
    whole = {clip.id: clip.path for clip in clips if clip.files.whole and clip.sound is None}
    helpers = measures.helpers
    if helpers.landmarks is not None and fps_policy != "as-is":  # then the rates of clips differ
        helpers = replace(helpers, landmarks=Remembered(helpers.landmarks, frozenset(whole.values())))
    return CopyMeasures(measures.measures, None, helpers, asked, whole)


def _score(
    run: Path,
    planned: Sequence[Planned],
    description: RunDescription,
    work: DamageWork,
    executor: Executor,
    report: Report,
) -> None:
    """Make and score the copies that have no record yet."""
    with open_records(run) as append, report.counting("scoring copies", len(planned)) as counter:
        finished = {head.id for head in iter_heads(run)}
        counter.skip(len(finished))
        tasks = [
            Task(number, one.listed.clip, one) for number, one in enumerate(planned) if one.listed.id not in finished
        ]
        watch = Watch(counter.note, counter.warn)
        with Session(run, executor.devices, watch) as session:
            for _, scored in executor.run(work, tasks, watch) if tasks else ():
                append(scored.record)
                session.count(scored.record)
                if scored.record.status != "ok":
                    counter.fail(scored.record.clip, f"{scored.record.status}: {scored.record.reason}")
                counter.advance(seconds=scored.record.seconds or 0.0)
    write_summary(run, iter_records(run), len(planned), description)
