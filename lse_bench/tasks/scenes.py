"""The task that finds shots and face tracks of clips without scoring them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lse_bench.choices import FpsPolicy
from lse_bench.errors import ClipError, UsageError
from lse_bench.faces.tracking import Tracking
from lse_bench.manifests.listed import ListedClip
from lse_bench.reporting import Counter, Report
from lse_bench.runs.scenes import write_scene
from lse_bench.sync.clip_facts import ClipFacts
from lse_bench.sync.open_clip import open_clip
from lse_bench.sync.protocol import get_protocol
from lse_bench.sync.tracked import look_at
from lse_bench.tasks.declared import ScoreOptions
from lse_bench.tasks.scoring import tracking_of


def find_scenes(out: Path, clips: Sequence[ListedClip], options: ScoreOptions, report: Report) -> int:
    """Write the shots and face tracks of each clip to `out`/ID, and return the number of failed clips.

    Raises UsageError if the protocol has no face tracks, or if it finds them in frames that it encodes first.
    """
    protocol = get_protocol(options.protocol)
    if protocol.codec == "pipeline":
        raise UsageError(
            f"--tracks-only looks at frames as tracked@1 has them, not as {protocol.id}. Use --protocol tracked"
        )
    tracking = tracking_of(options, report)
    if tracking is None:
        raise UsageError(f"{protocol.id} treats the whole frame as a face. --tracks-only needs --protocol tracked")
    policy = options.fps_policy or protocol.fps_policy
    failed = 0
    with report.counting("finding faces", len(clips)) as counter:
        for clip in clips:
            problem = _absent(clip) or _find(clip, tracking, policy, out / clip.id, counter)
            if problem is not None:
                failed += 1
                counter.fail(clip.clip, problem)
            counter.advance("finding faces")
    return failed


def _absent(clip: ListedClip) -> str | None:
    return None if clip.absent is None else f"{clip.absent.status}: {clip.absent.reason}"


def _find(clip: ListedClip, tracking: Tracking, policy: FpsPolicy, out: Path, counter: Counter) -> str | None:
    """Write the scene of one clip. Return why it has no face track, or None if it has one."""
    facts = ClipFacts(on_step=lambda text: counter.note("", f"{clip.path.name}: {text}"))
    problem = opened = None
    try:
        opened = open_clip(replace(clip.files, sound=None), policy, facts, silent=True)
        look_at(opened, tracking, facts)
    except ClipError as error:
        problem = f"{error.status}: {error.reason}"
    except Exception as error:  # noqa: BLE001 - an error of one file must not stop the others
        problem = f"error: {type(error).__name__}: {error}"
    if opened is not None and facts.scene is not None:
        write_scene(opened, clip.clip, facts.scene, tracking, out)
    return problem
