"""What a run directory stores, as types: run.json, summary.json and the lines of records.jsonl.

Schema 2 is written. Files of schema 1 are read: what they lack is null, and null equals nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lse_bench.errors import Status
from lse_bench.manifests.generated import Origin
from lse_bench.stored import Stored, Surroundings

SCHEMA = 2

Curve = Annotated[list[float], Field(min_length=31, max_length=31)]


class Scores(BaseModel):
    """The scores of a clip or of a face track; all null where there are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    lse_d: float | None = None
    """LSE-D under the protocol; lower is better."""
    lse_c: float | None = None
    """LSE-C under the protocol; higher is better."""
    offset: int | None = None
    """AV offset in frames of 40 ms; positive: the sound comes early."""
    lse_d_at_0: float | None = None
    """Mean distance at shift 0."""
    lse_d_valid: float | None = None
    """LSE-D without the padding: only pairs that exist count."""
    lse_c_valid: float | None = None
    """LSE-C without the padding."""
    offset_valid: int | None = None
    """AV offset without the padding."""
    curve: Curve | None = None
    """31 mean distances, shifts -15 to +15 frames."""
    windows: int | None = None
    """How many windows were averaged."""


def _refuse_ok_without_scores(status: Status, scores: Scores) -> None:
    if status == "ok" and None in (scores.lse_d, scores.lse_c, scores.offset, scores.curve, scores.windows):
        raise ValueError("status ok without scores")


class _TrackFacts(BaseModel):
    """Which face track it is."""

    track: int | None = None
    """Number of the track; null for one that was not kept."""
    first: int | None = None
    """First frame, as scored."""
    last: int | None = None
    """Last frame, as scored."""
    frames: int | None = None
    """Number of frames."""
    detections: int | None = None
    """Frames in which the face was detected."""
    box: list[float] | None = None
    """Mean left, top, right, bottom in pixels."""
    status: Status
    """`ok` where the track was scored."""
    reason: str | None = None
    """Why it was not scored."""


class TrackRecord(Scores, _TrackFacts):
    """One face track of a clip, under a protocol that finds faces."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _refuse_ok_without_scores(self.status, self)
        return self


class _ClipFacts(BaseModel):
    """Which clip it is, and how it ended."""

    clip: str
    """The clip's name, relative to the list or folder that named it."""
    id: str
    """The clip's id, safe as a file name."""
    status: Status
    """`ok`, or the kind of failure."""
    reason: str | None = None
    """Why the clip has no score."""
    warnings: list[str] = []
    """What a reader of the score should know about the clip."""


class Record(Scores, _ClipFacts):
    """One clip's line of records.jsonl. Scores are null unless `status` is `ok`."""

    frames: int | None = None
    """Frames, as scored."""
    fps: float | None = None
    """Frame rate of the file; the average where it varies."""
    seconds: float | None = None
    """Length of the picture."""
    tracks: list[TrackRecord] | None = None
    """Face tracks; null under whole-frame protocols."""
    groups: dict[str, str] = {}
    """Source video, source sound and speaker, where they are known."""
    sha256: str | None = None
    """Digest of the file."""


class MetricSummary(BaseModel):
    """The mean of one metric over the scored clips (or face tracks)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    mean: float | None
    """Null where nothing was scored."""
    ci95: tuple[float, float] | None
    """95 % interval; null where too few results are independent."""
    ci_method: str
    """How the interval was computed."""
    n: int
    """Results averaged."""
    higher_is_better: bool | None = None
    """Null for the offset."""


class Summary(Stored):
    """summary.json: a pure function of run.json and the records."""

    schema_version: int = SCHEMA
    """Version of this format."""
    key: dict[str, str]
    """The comparison key: everything that moves a score."""
    signature: str | None = None
    """The key and the version in one line; null in schema 1."""
    listed: int
    """Clips that were to be scored."""
    scored: int
    """Clips with a score."""
    tracks: int | None = None
    """Scored face tracks, where each counts once (track rule `all`)."""
    failed: dict[Status, int]
    """Clips without a score, by status."""
    pending: int
    """Clips without a record yet."""
    warned: int
    """Scored clips with a warning."""
    metrics: dict[str, MetricSummary]
    """Means, by metric."""
    offsets: dict[str, int]
    """Results by AV offset in frames."""
    seconds: dict[str, float]
    """Quantiles of the clips' lengths, by share."""

    @property
    def lse_d(self) -> MetricSummary:
        """Mean LSE-D; lower is better."""
        return self.metrics["lse_d"]

    @property
    def lse_c(self) -> MetricSummary:
        """Mean LSE-C; higher is better."""
        return self.metrics["lse_c"]

    @property
    def offset(self) -> MetricSummary:
        """Mean AV offset in frames of 40 ms."""
        return self.metrics["offset"]


class ScorerWeights(Stored):
    """The scorer's checkpoint."""

    file: str | None = None
    """As it was given: a path or a name of the table."""
    sha256: str | None = None
    """Digest of the file."""
    name: str | None = None
    """Its name in the table of weights, where the digest is known."""


class ClipList(Stored):
    """The whole list of clips, of which a shard is a part."""

    clips: int = Field(ge=0)
    """How many."""
    sha256: str
    """Digest over ids, names and groups."""


class RunDescription(Surroundings):
    """run.json: what was scored, and with what."""

    schema_version: Literal[1, 2] = 2
    """Version of this format."""
    kind: Literal["score"] = "score"
    """A scoring run."""
    protocol: str
    """Protocol id."""
    key: dict[str, str]
    """The comparison key: everything that moves a score."""
    weights: ScorerWeights
    """The scorer's checkpoint."""
    clip_list: ClipList
    """The whole list of clips."""
    source: dict[str, Any] | None = None
    """Where the clips were found."""
    manifest_sha256: str | None = None
    """Of the manifest, where the clips are a generation's."""
    generation: Origin | None = None
    """How the clips were generated, where that is known."""
    shard: str | None = None
    """Such as 2/5; null for the whole list."""
    merged_from: list[str | None] | None = None
    """Shards that were joined."""
    device: str | None = None
    """cpu or cuda."""
    precision: str | None = None
    """fp32 or bf16."""
    seed: int | None = None
    """Scoring draws nothing at random."""
    command: list[str] = []
    """The command line."""
    started: str | None = None
    """UTC, ISO 8601."""

    @property
    def track_rule(self) -> str | None:
        """How face tracks make a clip's score; None under whole-frame protocols."""
        return self.key.get("track_rule")
