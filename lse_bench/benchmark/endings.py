"""How the steps of a benchmark ended: the lines of `steps.jsonl`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lse_bench.benchmark.steps import Kind, Step
from lse_bench.errors import UsageError
from lse_bench.storage import read_lines

STEPS_FILE = "steps.jsonl"


class Ended(BaseModel):
    """How a step ended: one line of steps.jsonl.

    `method`: the method that the step belongs to, or "". `status`: the exit status, 0 for success. `message`: why the
    step failed, or None. `seconds`: its duration. `items`: the number of its clips.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    step: str
    kind: Kind
    method: str = ""
    status: int
    message: str | None
    seconds: float
    items: int


def read_steps(out: Path) -> dict[str, Ended]:
    """Return how each step ended last, by digest. Raises UsageError if a line is damaged."""
    path = out / STEPS_FILE
    try:
        ended = [Ended.model_validate_json(line) for line in read_lines(path)]
    except ValidationError as error:
        raise UsageError(f"{path}: a line is damaged: {error.errors()[0]['msg']}") from None
    return {one.digest: one for one in ended}


def finished(step: Step, ended: dict[str, Ended]) -> bool:
    """Return whether the complete result of a step with the same inputs exists."""
    one = ended.get(step.digest)
    return one is not None and one.status == 0 and step.out.exists()
