"""The options of `lse-bench reliability`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lse_bench.choices import FpsPolicy, ScoringPrecision
from lse_bench.tasks.declared import TABLE, ScoreOptions, WeightsOptions
from lse_bench.tasks.options import Flag

DEFAULT_MEASURES = "lse_d,lse_c,lse_d_at_0,abs(offset_ms)"


@dataclass(frozen=True, kw_only=True)
class ReliabilityOptions(WeightsOptions):
    """The options of `lse-bench reliability`."""

    measures: Annotated[
        str,
        Flag(
            "The measures of the card, with commas between them: fields of SyncNet's score, such as lse_d or "
            "abs(offset_ms), and names from `lse-bench measures`.",
            metavar="NAME,…",
        ),
    ] = DEFAULT_MEASURES
    measure_command: Annotated[
        tuple[str, ...],
        Flag(
            'A program as a measure: "name=python eval.py --video {video}". It prints a number. Repeatable.',
            metavar="NAME=COMMAND",
            names="settings",
        ),
    ] = ()
    parts: Annotated[
        str, Flag("The parts that need copies, with commas between them.", metavar="oracle,nuisance,gaming")
    ] = "oracle,nuisance,gaming"
    clips: Annotated[
        int | None, Flag("Use only so many clips, spread evenly over the list. Default: all.", least=2)
    ] = None
    attacked: Annotated[int, Flag("Number of clips that are attacked, for the part gaming.", least=1)] = 10
    bound: Annotated[
        float, Flag("For the attack: the most that a pixel changes, in grey levels of 255.", least=1, most=64)
    ] = 10.0
    weights: Annotated[str, Flag(f"SyncNet's checkpoint: {TABLE}. It is never executed.", names="weights")] = (
        "syncnet_v2"
    )
    protocol: Annotated[str, Flag("Protocol, as in `lse-bench score`.")] = "lrs-lossless@1"
    fps_policy: Annotated[FpsPolicy | None, Flag("Handling of clips that are not 25 fps, as in `lse-bench score`.")] = (
        None
    )
    landmark_weights: Annotated[
        str, Flag("For measures of landmarks: facemesh's network, a file or a name from `lse-bench weights list`.")
    ] = "facemesh"
    precision: Annotated[ScoringPrecision, Flag("fp32, or bf16, which is faster. It is recorded.")] = "fp32"

    def scoring(self, further: str | None, originals: Path | None = None) -> ScoreOptions:
        """Return the options of the scorer. `further`: the measures beside SyncNet's score; None for none."""
        return ScoreOptions(
            offline=self.offline,
            trust=self.trust,
            storage_options=self.storage_options,
            device=self.device,
            weights=self.weights,
            protocol=self.protocol,
            fps_policy=self.fps_policy,
            measures=further,
            measure_command=self.measure_command,
            originals=originals,
            landmark_weights=self.landmark_weights,
            precision=self.precision,
        )
