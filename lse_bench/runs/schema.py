"""The contents of a run directory as types: run.json, summary.json and the lines of records.jsonl.

Schema 2 is written. Files of schema 1 can be read; a field that they lack is null. Null means unknown, so it never
counts as equal to another value.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lse_bench.errors import Status
from lse_bench.manifests.generated import ManifestOrigin, Origin
from lse_bench.runs.usage import UsageSummary
from lse_bench.stored import Stored, Surroundings
from lse_bench.sync.offsets import Calibration, Grade, TrendKind

SCHEMA = 2

Curve = Annotated[list[float], Field(min_length=31, max_length=31)]


class _Part(BaseModel):
    """The base of parts of scores."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, from_attributes=True
    )


class WideSearch(_Part):
    """The best shift of a search beyond 0.6 s. LSE-D and LSE-C do not depend on it."""

    seconds: float
    """How far was searched to either side, in seconds."""
    offset_ms: float | None
    """AV offset there, in milliseconds. Null at the ends of what was measured."""
    distance: float
    """Mean distance there, in units of LSE-D."""
    margin: float | None
    """How far it lies below every shift more than two frames away."""


class JumpRecord(_Part):
    """A sudden change of the AV offset."""

    at: float
    """Time of the change in seconds."""
    before_ms: float
    """AV offset before, in milliseconds."""
    after_ms: float
    """AV offset after, in milliseconds."""


class Trend(_Part):
    """The AV offset over time. `timelines/ID.json` holds the pieces."""

    seconds: float
    """Length of a piece in seconds."""
    trend: TrendKind
    """What the offset does. `unknown` if too few pieces have a clear minimum."""
    ms_per_minute: float | None
    """The drift in milliseconds a minute. Positive: the sound comes earlier and earlier."""
    ci95: tuple[float, float] | None
    """95 % interval of the drift."""
    jumps: list[JumpRecord]
    """The sudden changes."""


class Scores(BaseModel):
    """The scores of a clip or of a face track; all null if it was not scored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    lse_d: float | None = None
    """LSE-D under the protocol. Lower is better."""
    lse_c: float | None = None
    """LSE-C under the protocol. Higher is better."""
    offset: int | None = None
    """AV offset in frames of 40 ms. Positive: the sound comes early."""
    lse_d_at_0: float | None = None
    """Mean distance at shift 0, in units of LSE-D."""
    lse_d_valid: float | None = None
    """LSE-D without the padding: distances to the padded sound do not count."""
    lse_c_valid: float | None = None
    """LSE-C without the padding."""
    offset_valid: int | None = None
    """AV offset without the padding."""
    curve: Curve | None = None
    """31 mean distances, for shifts of -15 to +15 frames."""
    windows: int | None = None
    """Number of windows that were averaged."""
    offset_ms: float | None = None
    """AV offset in milliseconds, below one frame. Positive: the sound comes early. Null at the ends of the curve."""
    offset_margin: float | None = None
    """How far the minimum of the curve lies below every shift more than two frames away, in units of LSE-D."""
    offset_grade: Grade | None = None
    """Grade of the offset by ITU-R BT.1359-1; `unknown` without a clear minimum; null in files of older versions."""
    offset_r37: bool | None = None
    """Whether EBU R37 allows the offset; null if its grade is not known."""
    search: WideSearch | None = None
    """The best shift of a wider search; null if none was made."""
    timeline: Trend | None = None
    """The offset over time; null if it was not measured."""


def _refuse_ok_without_scores(status: Status, scores: Scores) -> None:
    if status == "ok" and None in (scores.lse_d, scores.lse_c, scores.offset, scores.curve, scores.windows):
        raise ValueError("the status is ok, but scores are missing")


class _TrackFacts(BaseModel):
    """The identity and the outcome of a face track."""

    track: int | None = None
    """Number of the track; null for a track that was not kept."""
    first: int | None = None
    """First frame, at the scored frame rate."""
    last: int | None = None
    """Last frame (inclusive), at the scored frame rate."""
    frames: int | None = None
    """Number of frames."""
    detections: int | None = None
    """Number of frames in which the face was detected."""
    box: list[float] | None = None
    """Mean bounding box: left, top, right, bottom in pixels."""
    status: Status
    """`ok` if the track was scored, else the kind of failure."""
    reason: str | None = None
    """Why the track was not scored."""


class TrackRecord(Scores, _TrackFacts):
    """One face track of a clip, under a tracked protocol."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _refuse_ok_without_scores(self.status, self)
        return self


class _ClipFacts(BaseModel):
    """The identity and the outcome of a clip."""

    clip: str
    """The clip's name, relative to the list or folder that named it."""
    id: str
    """The clip's id, safe as a file name."""
    status: Status
    """`ok`, or the kind of failure."""
    reason: str | None = None
    """Why the clip has no score."""
    warnings: list[str] = []
    """Sentences about properties of the clip that affect its score."""


class Record(Scores, _ClipFacts):
    """The line of one clip in records.jsonl. Scores are null unless `status` is `ok`."""

    frames: int | None = None
    """Number of frames, at the scored frame rate."""
    fps: float | None = None
    """Frame rate of the file; the average if it varies."""
    seconds: float | None = None
    """Length of the picture in seconds."""
    tracks: list[TrackRecord] | None = None
    """Face tracks; null under whole-frame protocols."""
    groups: dict[str, str] = {}
    """Names of the source video (`video`), the source sound (`sound`), the `speaker` and further groups, if known."""
    sha256: str | None = None
    """SHA-256 of the file; null if it could not be read."""
    bytes: int | None = None
    """Size of the file; null if it could not be read, or in files of older versions."""
    changed: int | None = None
    """Time of the file's last change, in microseconds since 1970. With the size, it tells whether the file is still the
    same without reading it."""
    sound: str | None = None
    """Name of the file whose sound was heard; null for the clip's own sound."""
    sound_sha256: str | None = None
    """SHA-256 of that file; null if it is the clip itself or could not be read."""
    sound_bytes: int | None = None
    """Size of that file."""
    sound_changed: int | None = None
    """Time of that file's last change, in microseconds since 1970."""
    sound_stream: int | None = None
    """Number of the sound's stream in its file, from 0."""
    sound_seconds: float | None = None
    """Length of the sound in seconds. What picture and sound do not have in common is not scored."""
    start: float | None = None
    """Start of the scored part in the files, in seconds; null for their beginning."""
    end: float | None = None
    """End of the scored part in the files, in seconds; null for their end."""
    measures: dict[str, float] = {}
    """The values of further measures, by name; empty unless `status` is `ok`."""
    missing: dict[str, str] = {}
    """Why a measure has no value for this clip, by name."""
    features: dict[str, str] = {}
    """SHA-256 of the file with the clip's features, by set measure."""
    conversion_ms: float | None = None
    """Delay that the conversion to 25 frames per second added to the picture, in milliseconds. It is taken off offsets
    in milliseconds, and not off `offset`. Null if it is not known."""

    def value(self, metric: str) -> float | None:
        """Return the value of a score or of a further measure; None if there is none."""
        found = getattr(self, metric) if metric in Scores.model_fields else self.measures.get(metric)
        return None if found is None else float(found)


class RecordHead(BaseModel):
    """What continuing a run needs of a record. Reading only this takes half the time."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    clip: str
    id: str
    status: Status
    reason: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    changed: int | None = None
    sound: str | None = None
    sound_sha256: str | None = None
    sound_bytes: int | None = None
    sound_changed: int | None = None


class MetricSummary(BaseModel):
    """The mean of one metric over the scored clips (or face tracks)."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    mean: float | None
    """The mean; null if nothing was scored."""
    ci95: tuple[float, float] | None
    """95 % interval of the mean; null if too few results are independent."""
    ci_method: str
    """How the interval was computed."""
    n: int
    """Number of results that were averaged."""
    higher_is_better: bool | None = None
    """Whether a higher value is better; null for offsets."""


class Summary(Stored):
    """The content of summary.json. It is a pure function of run.json and the records; `usage` also of usage.json."""

    schema_version: int = SCHEMA
    """Version of this format."""
    key: dict[str, str]
    """The comparison key: everything that changes a score. Its frame rate says what happened: 25 if no clip was
    converted or refused for its rate."""
    signature: str | None = None
    """The comparison key and the version in one line; null in schema 1."""
    listed: int
    """Number of clips that were to be scored."""
    scored: int
    """Number of clips with a score."""
    tracks: int | None = None
    """Number of scored face tracks under the track rule `all`, where each counts once; else null."""
    failed: dict[Status, int]
    """Number of clips without a score, by status."""
    pending: int
    """Number of clips without a record yet."""
    warned: int
    """Number of scored clips with a warning."""
    converted: int | None = None
    """Number of scored clips that were not evenly spaced at 25 frames per second; null in files of older versions."""
    metrics: dict[str, MetricSummary]
    """Means by metric."""
    offsets: dict[str, int]
    """Number of results by AV offset, in frames of 40 ms."""
    grades: dict[str, int] = {}
    """Number of results by the grade of their AV offset; empty in files of older versions."""
    seconds: dict[str, float]
    """Quantiles of the clips' lengths in seconds, by share (0 to 1)."""
    usage: UsageSummary | None = None
    """How long the run took, from usage.json; null if that file is not there."""

    @property
    def lse_d(self) -> MetricSummary:
        """The mean LSE-D with its 95 % interval. Lower is better."""
        return self.metrics["lse_d"]

    @property
    def lse_c(self) -> MetricSummary:
        """The mean LSE-C with its 95 % interval. Higher is better."""
        return self.metrics["lse_c"]

    @property
    def offset(self) -> MetricSummary:
        """The mean AV offset in frames of 40 ms, with its 95 % interval."""
        return self.metrics["offset"]


class ScorerWeights(Stored):
    """The scorer's checkpoint."""

    file: str | None = None
    """The checkpoint as it was given: a path, or a name in the table of weights."""
    sha256: str | None = None
    """SHA-256 of the file."""
    name: str | None = None
    """Name in the table of weights; null if the table does not list the digest."""


class ClipList(Stored):
    """The whole list of clips, of which a shard is a part."""

    clips: int = Field(ge=0)
    """Number of clips."""
    sha256: str
    """SHA-256 over the clips' ids, names and groups."""


class Adopted(Stored):
    """Finished videos that were matched with the pairs of a manifest. How they were made is not known."""

    manifest: ManifestOrigin
    """The manifest of the pairs."""
    rule: str
    """How the videos were found, in words."""


class MeasureAbout(Stored):
    """A measure of a run, beside LSE."""

    id: str
    """All that moves its values. Values with different ids never stand in one table."""
    unit: str = ""
    """The unit; empty for none."""
    higher_is_better: bool | None = None
    """Whether a higher value is better; null if neither end is."""
    licence: str | None = None
    """The licence of its weights."""
    deviations: str = ""
    """How it differs from its sources, in words."""
    of_sets: bool = False
    """Whether it has one value for all clips together, and none for a clip."""


class RunDescription(Surroundings):
    """The content of run.json: the clips, the scorer and the settings of a run."""

    schema_version: Literal[1, 2] = 2
    """Version of this format."""
    kind: Literal["score"] = "score"
    """Kind of the file: a scoring run."""
    protocol: str
    """Protocol id."""
    key: dict[str, str]
    """The comparison key: everything that changes a score."""
    weights: ScorerWeights
    """The scorer's checkpoint."""
    clip_list: ClipList
    """The whole list of clips."""
    source: dict[str, Any] | None = None
    """Where the clips were found; null if unknown."""
    manifest_sha256: str | None = None
    """SHA-256 of the manifest, if the clips were generated from one."""
    generation: Origin | None = None
    """How the clips were generated; null if unknown."""
    adopted: Adopted | None = None
    """How finished videos were matched with a manifest; null if the clips were not adopted."""
    calibration: Calibration | None = None
    """The calibration by which offsets were graded; null without one."""
    measures: dict[str, MeasureAbout] = {}
    """The further measures, by name."""
    originals: str | None = None
    """The folder of the untouched videos; null without one."""
    search: float | None = None
    """How far was searched for larger delays, in seconds; null for not at all."""
    timeline: float | None = None
    """Length of the pieces of offsets over time, in seconds; null without them."""
    shard: str | None = None
    """The shard that was scored, such as 2/5; null for the whole list."""
    merged_from: list[str | None] | None = None
    """The shards that were merged into this run; null if it was not merged."""
    device: str | None = None
    """Device of the network: cpu or cuda."""
    precision: str | None = None
    """Precision of the network: fp32 or bf16."""
    seed: int | None = None
    """Always null, because scoring uses no random numbers."""
    command: list[str] = []
    """The command line."""
    started: str | None = None
    """Start of the run, in UTC and ISO 8601."""

    @property
    def track_rule(self) -> str | None:
        """The rule that combines face tracks into a clip's score; None under whole-frame protocols."""
        return self.key.get("track_rule")

    @property
    def clip_measures(self) -> dict[str, MeasureAbout]:
        """The measures that have a value for each clip."""
        return {name: about for name, about in self.measures.items() if not about.of_sets}
