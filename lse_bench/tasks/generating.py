"""The task that generates a folder of videos from a manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lse_bench.devices import choose_device
from lse_bench.execution.interface import Watch
from lse_bench.generators.boxes import Locating
from lse_bench.generators.call import Call, Policies, jobs_for
from lse_bench.generators.interface import FaceGenerator, Generator, Options
from lse_bench.generators.registry import load, make_generator
from lse_bench.generators.run import generate_run
from lse_bench.manifests.generated import Generation, Row
from lse_bench.manifests.manifest import read_manifest
from lse_bench.naming import whole
from lse_bench.reporting import Report
from lse_bench.tasks.checks import check_generation
from lse_bench.tasks.declared import GenerateOptions
from lse_bench.tasks.declared_execution import ExecutionOptions, executor_of
from lse_bench.tasks.faces import find_detector
from lse_bench.tasks.options import absolute, parse_pads
from lse_bench.weights.readers import file_digest

_SHOWN = 40  # characters of a progress note that are shown


def generate_into(
    out: Path,
    name: str,
    manifest: Path,
    options: GenerateOptions,
    report: Report,
    *,
    root: Path | None = None,
    execution: ExecutionOptions | None = None,
    command: Sequence[str] = (),
    on_row: Callable[[Row], None] = lambda row: None,
) -> Generation:
    """Make a video for each pair of `manifest` with the generator `name`. A repeated call continues a stopped one.

    `root`: the folder with the source files, or None for the folder that the manifest names. `execution`: who does the
    work, None for this process. `command`: the words of the command, which are stored with the result. `on_row`: called
    with the row of each job. Raises UsageError or WeightsError. Raises KeyboardInterrupt if it is stopped; finished
    videos are kept.
    """
    executor = executor_of(execution, options.device)
    if executor is not None:  # the workers have the devices; this process only looks at the weights
        options = replace(options, device="cpu")
    call = call_for(out, name, manifest, options, report, root=root, command=command)
    devices = call.options.device if executor is None else executor.devices
    report.say(f"{len(call.manifest.jobs)} jobs, {name}, {devices} → {out}")
    failed = 0
    with report.counting("generating", len(call.manifest.jobs)) as counter:

        def counted(row: Row) -> None:
            nonlocal failed
            if row.status != "ok":
                failed += 1
                counter.fail(row.id, f"{row.status}: {row.reason}")
            on_row(row)
            counter.advance(f"generating ({failed} failed)" if failed else "generating")

        return generate_run(
            call,
            counted,
            on_note=counter.say,
            retry_failed=options.retry_failed,
            executor=executor,
            load=partial(
                _load, whole(out), name, whole(manifest), absolute(options), None if root is None else whole(root)
            ),
            watch=Watch(lambda worker, text: counter.note(worker, text[-_SHOWN:]), counter.warn),
        )


def _load(out: Path, name: str, manifest: Path, options: GenerateOptions, root: Path | None, device: str) -> Call:
    """Load the generator of a worker process for its device."""
    return call_for(out, name, manifest, replace(options, device=device), Report(), root=root)


def call_for(
    out: Path,
    name: str,
    manifest: Path,
    options: GenerateOptions,
    report: Report,
    *,
    root: Path | None = None,
    command: Sequence[str] = (),
) -> Call:
    """Return the generation that the options describe, with its generator loaded.

    Raises UsageError if the generator does not have an option, or if options exclude each other.
    """
    pairs = read_manifest(manifest)
    folder = pairs.folder(root)
    plugin = load(name)
    settings = check_generation(name, options)
    wanted = options.weights or (None if plugin.make is None else plugin.make.weights)
    with report.working("Loading the generator"):
        device = choose_device(options.device)
    weights = None if wanted is None else report.weights(wanted, options.offline, options.trust)
    made_with = Options(weights, device, options.trust, options.legacy, options.sound_offset, options.offline, settings)
    generator = make_generator(name, made_with)
    return Call(
        generator=generator,
        manifest=jobs_for(generator, pairs),
        root=folder,
        out=out,
        locating=_locating(generator, options, report),
        policies=Policies(
            short=options.short,
            spare=0 if options.legacy else 2,
            paste=options.paste,
            nan_sound=options.nan_sound,
        ),
        weights_sha256=None if weights is None else file_digest(weights),
        options=made_with,
        package=f"{plugin.package} {plugin.version}",
        seed=options.seed,
        asked_sha256=pairs.sha256,
        command=command,
    )


def _locating(generator: Generator, options: GenerateOptions, report: Report) -> Locating | None:
    if not isinstance(generator, FaceGenerator):
        return None
    return Locating(
        find_detector(options, report),
        generator.pads if options.pads is None else parse_pads(options.pads),
        options.smoothing or generator.smoothing,
        options.face or generator.choice,
        options.faceless,
    )
