"""Score clips: LSE-D, LSE-C and AV offset, with the windows of many clips in one batch.

A clip's score does not depend on the batch size, the number of workers or the other clips. Memory does not grow with
the length or the number of clips. No temporary file is written, except under `tracked-legacy`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.choices import FpsPolicy, ScoringPrecision, TrackRule
from lse_bench.devices import choose_device
from lse_bench.errors import ClipError, UsageError
from lse_bench.faces.detectors import load_detector
from lse_bench.faces.tracking import Tracking
from lse_bench.media.clip_files import ClipFiles, files_of
from lse_bench.media.program import Ffmpeg, find_ffmpeg
from lse_bench.processor import usable_cores
from lse_bench.rates import SAMPLE_RATE
from lse_bench.sync.arrays import read_arrays
from lse_bench.sync.batch import Batch, ClipOutcome
from lse_bench.sync.clip_facts import ClipFacts, Watcher
from lse_bench.sync.distance import LseScore
from lse_bench.sync.feed import Event, feed
from lse_bench.sync.offset_settings import OffsetSettings
from lse_bench.sync.offsets import Calibration, calibration_for
from lse_bench.sync.protocol import FPS_POLICIES, PRECISIONS, TRACK_RULES, Protocol, comparison_key, get_protocol
from lse_bench.sync.remarks import warnings_of_score
from lse_bench.sync.signature import as_happened, at_25, signature
from lse_bench.sync.syncnet import FastSyncNet, SyncNet, load_syncnet
from lse_bench.sync.times import Times
from lse_bench.sync.tracked import read_legacy, read_tracked
from lse_bench.sync.windows import Chunk, read_windows
from lse_bench.versions import installed
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import resolve

MAX_BATCH = 4096  # windows: their pictures take 12 GB
_MAX_READERS = 8
OnStep = Callable[[Path, str], None]
_log = logging.getLogger("lse_bench")


class SyncScorer:
    """A scorer of clips, with one network under one protocol.

    >>> scorer = SyncScorer.load("syncnet_v2", device="cuda")
    >>> scorer.score("clip.mp4")
    LseScore(lse_d=…, lse_c=…, offset=…)
    """

    def __init__(
        self,
        network: SyncNet,
        *,
        weights_sha256: str,
        protocol: str = "lrs@1",
        fps_policy: FpsPolicy | None = None,
        tracking: Tracking | None = None,
        track_rule: TrackRule = "all",
        ffmpeg: Path | str | None = None,
        sound_stream: str | None = None,
        calibration: Calibration | None = None,
        search: float | None = None,
        timeline: float | None = None,
        device: str = "auto",
        precision: ScoringPrecision = "fp32",
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> None:
        """Prepare the network `network`, whose checkpoint has the digest `weights_sha256`, for a protocol.

        `fps_policy`: None for the protocol's default. `tracking`: detector and settings of a tracked protocol, None for
        CenterFace and the published settings. `track_rule`: how face tracks make a clip's score. `ffmpeg`: the ffmpeg
        program for `tracked-legacy`, None for the one on PATH. `sound_stream`: which sound of a file is heard, by its
        number, counted from 1, or its language; None for the one that the ffmpeg program chooses. `calibration`: for
        the grades of offsets; None for the package's, if it has one for these weights and this protocol. `search`: how
        many seconds to look for delays beyond 0.6 s. `timeline`: length of the pieces of a timeline, in seconds. None
        leaves them out.

        `batch_size`: windows per pass, rounded up to whole tiles of the network, None for one tile. `workers`: threads
        that decode ahead, 0 to decode in the caller's thread, None to choose by device. Neither changes a score. Raises
        UsageError if a value is unknown, out of range or does not fit the protocol.
        """
        self.protocol: Protocol = get_protocol(protocol)
        fps_policy = fps_policy or self.protocol.fps_policy
        if fps_policy not in FPS_POLICIES:
            raise UsageError(f"no frame rate policy called {fps_policy}; there are: {', '.join(FPS_POLICIES)}")
        if track_rule not in TRACK_RULES:
            raise UsageError(f"no track rule called {track_rule}; there are: {', '.join(TRACK_RULES)}")
        if precision not in PRECISIONS:
            raise UsageError(f"no precision called {precision}; there are: {', '.join(PRECISIONS)}")
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch size {batch_size}: it must be at least 1 window")
        if batch_size is not None and batch_size > MAX_BATCH:
            raise UsageError(f"batch size {batch_size:,}: at most {MAX_BATCH:,} windows fit")
        if workers is not None and workers < 0:
            raise UsageError(f"{workers} workers: the number must be 0 or more")
        self.fps_policy: FpsPolicy = fps_policy
        self.track_rule: TrackRule = track_rule
        self.tracking, self.ffmpeg = _tracking_for(self.protocol, fps_policy, tracking, ffmpeg)
        self.sound_stream = sound_stream
        self.offsets = OffsetSettings(calibration_for(weights_sha256, self.protocol.id, calibration), search, timeline)
        self.precision: ScoringPrecision = precision
        self.device = choose_device(device)
        self.weights_sha256 = weights_sha256
        self.network = FastSyncNet(network, self.device, precision)
        tile = self.network.tile
        self.batch_size = tile * -(-(batch_size or tile) // tile)
        # On a CPU the network uses every core, so threads that decode ahead would only compete with it.
        spare_cores = 0 if self.device == "cpu" else min(_MAX_READERS, usable_cores())
        self.workers = spare_cores if workers is None else workers
        self.times = Times()

    @classmethod
    def load(
        cls,
        weights: Path | str = "syncnet_v2",
        *,
        protocol: str = "lrs@1",
        fps_policy: FpsPolicy | None = None,
        tracking: Tracking | None = None,
        track_rule: TrackRule = "all",
        ffmpeg: Path | str | None = None,
        sound_stream: str | None = None,
        calibration: Calibration | None = None,
        search: float | None = None,
        timeline: float | None = None,
        device: str = "auto",
        precision: ScoringPrecision = "fp32",
        batch_size: int | None = None,
        workers: int | None = None,
        offline: bool = False,
    ) -> SyncScorer:
        """Return a scorer with the checkpoint `weights`.

        `weights`: a file, or a name in the table of weights. A named checkpoint is downloaded if it is missing.
        `offline`: never download. The other options are those of `SyncScorer`. Raises WeightsError if the checkpoint
        is missing, unsafe, damaged or of another network.
        """
        path = resolve(weights, FetchSettings(offline=offline, say=_log.warning))
        return cls(
            load_syncnet(path),
            weights_sha256=file_digest(path),
            protocol=protocol,
            fps_policy=fps_policy,
            tracking=tracking,
            track_rule=track_rule,
            ffmpeg=ffmpeg,
            sound_stream=sound_stream,
            calibration=calibration,
            search=search,
            timeline=timeline,
            device=device,
            precision=precision,
            batch_size=batch_size,
            workers=workers,
        )

    @property
    def key(self) -> dict[str, str]:
        """The comparison key: everything that changes a score. Results with different keys cannot be compared."""
        return comparison_key(
            self.protocol,
            self.weights_sha256,
            self.fps_policy,
            self.precision,
            tracking=self.tracking,
            track_rule=self.track_rule if self.tracking is not None else None,
            # OpenCV writes the XVID files, with an FFmpeg of its own inside.
            ffmpeg=None if self.ffmpeg is None else f"{self.ffmpeg.version}, OpenCV {cv2.__version__}",
            sound_stream=self.sound_stream,
        )

    @property
    def signature(self) -> str:
        """The comparison key and the version of LSE-Bench in one line, for clips of 25 frames per second."""
        return self._signature(converted=False)

    def _signature(self, converted: bool) -> str:
        rate = as_happened(self.fps_policy, converted, refused=False)
        return signature(self.key | {"fps_policy": rate}, [installed("lse-bench") or "unknown"])

    def score(
        self,
        path: Path | str,
        sound: Path | str | None = None,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> LseScore:
        """Return LSE-D, LSE-C and offset of one clip.

        `sound`: another file whose sound is heard, None for the clip's own. `start`, `end`: the part of both files to
        score, in seconds, None for their beginning and their end. Raises UsageError if the part is no part, and
        ClipError, with a status, if the clip cannot be scored.
        """
        files = ClipFiles(Path(path), None if sound is None else Path(sound), start, end)
        (outcome,) = self.score_all([(0, files)])
        if outcome.failure is not None:
            raise ClipError(path, outcome.failure.status, outcome.failure.reason)
        return self._signed(outcome)

    def score_arrays(
        self,
        frames: NDArray[np.uint8] | torch.Tensor | Sequence[NDArray[np.uint8]],
        sound: NDArray[Any] | torch.Tensor,
        fps: float | Fraction = 25,
        sample_rate: int = SAMPLE_RATE,
        *,
        start: float | None = None,
        end: float | None = None,
    ) -> LseScore:
        """Return LSE-D, LSE-C and offset of one clip in memory.

        `frames`: RGB, uint8, (T,H,W,3), or a torch tensor (T,3,H,W). `sound`: mono, (N,), int16 or floating point in
        -1...1. `fps`: frames per second. `sample_rate`: Hz. Sound is resampled if the rate is not 16,000. `start`,
        `end`: the part to score, in seconds, None for the beginning and the end. The decoded frames and sound of a file
        get the same score as the file. Raises UsageError if the arrays have another form, if the part is no part, or if
        the protocol has a JPEG step, which needs a file. Raises ClipError if the clip cannot be scored.
        """
        facts = ClipFacts()
        batch = self._batch(False)
        chunks = read_arrays(
            frames,
            sound,
            fps,
            sample_rate,
            protocol=self.protocol,
            fps_policy=self.fps_policy,
            tracking=self.tracking,
            facts=facts,
            start=start,
            end=end,
        )
        for chunk in chunks:
            batch.add(0, chunk)
        batch.end(Event(0, None, facts))
        batch.flush()
        (outcome,) = batch.finished()
        return self._signed(outcome)

    def _batch(self, keep_windows: bool) -> Batch:
        rule = self.track_rule if self.tracking else None
        return Batch(self.network, self.batch_size, keep_windows, rule, self.offsets, self.times)

    def _signed(self, outcome: ClipOutcome) -> LseScore:
        assert outcome.score is not None
        facts = outcome.facts
        told = (*facts.warnings, *warnings_of_score(outcome.score))
        line = self._signature(converted=not at_25(facts.fps, facts.warnings))
        return replace(outcome.score, warnings=told, signature=line)

    def score_all(
        self,
        clips: Iterable[tuple[int, ClipFiles | Path] | None],
        keep_windows: bool = False,
        on_step: OnStep | None = None,
        watch: Callable[[int], Watcher] | None = None,
    ) -> Iterator[ClipOutcome]:
        """Yield the outcome of each clip as soon as it is finished. The order can differ from the order of `clips`.

        `clips`: (number, files) of each clip; a path stands for a whole video with its own sound. None among them means
        that no clip is ready now; the clips so far are finished first. `keep_windows`: whether scores keep the
        distances of each window.
        `on_step`: called now and then, from any thread, with the path of a long clip and a description of the step.
        `watch`: returns who sees the pictures and the sound of the clip with this number; None for nobody.
        """
        read = partial(self._read, on_step=on_step, watch=watch)
        batch = self._batch(keep_windows)
        files = (None if clip is None else (clip[0], files_of(clip[1])) for clip in clips)
        for event in feed(files, read, self.workers, self.times):
            if event is None:
                batch.flush()
            elif event.chunk is not None:
                batch.add(event.clip, event.chunk)
            else:
                batch.end(event)
            yield from batch.finished()
        batch.flush()
        yield from batch.finished()

    def _read(
        self,
        files: ClipFiles,
        facts: ClipFacts,
        on_step: OnStep | None = None,
        watch: Callable[[int], Watcher] | None = None,
    ) -> Iterator[Chunk]:
        if watch is not None:
            facts.watcher = watch(facts.number)
        if on_step is not None:
            facts.on_step = partial(on_step, files.path)
        if self.tracking is None:
            return read_windows(files, self.protocol, self.fps_policy, facts, self.sound_stream)
        if self.ffmpeg is not None:
            return read_legacy(files, self.protocol, self.tracking, self.ffmpeg, facts, self.sound_stream)
        return read_tracked(files, self.protocol, self.fps_policy, self.tracking, facts, self.sound_stream)


def _tracking_for(
    protocol: Protocol, fps_policy: str, tracking: Tracking | None, ffmpeg: Path | str | None
) -> tuple[Tracking | None, Ffmpeg | None]:
    if not protocol.tracked:
        if tracking is not None:
            raise UsageError(f"{protocol.id} scores whole frames and does not use a face detector; leave it out")
        return None, None
    if tracking is None:
        if protocol.codec == "pipeline":
            raise UsageError(
                f"{protocol.id} needs the face detector S3FD; get it with lse-bench weights fetch sfd_face"
            )
        tracking = Tracking(load_detector("centerface"))
    if protocol.codec != "pipeline":
        return tracking, None
    if fps_policy != "resample":
        raise UsageError(f"{protocol.id} always converts to 25 fps, as published; --fps-policy must be resample")
    if tracking.detector.name == "centerface" or tracking.tracker != "original" or tracking.stride != 1:
        raise UsageError(
            f"{protocol.id} needs detector s3fd (or stored boxes), tracker original and stride 1 as published, "
            f"not {', '.join(tracking.marks)}; use tracked@1 for anything else"
        )
    return tracking, find_ffmpeg(ffmpeg)
