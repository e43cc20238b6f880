"""The part of a configuration that describes the MiniLRS corpus to make."""

from __future__ import annotations

from lse_bench.choices import Flavour, Style
from lse_bench.minilrs.plan import Spec
from lse_bench.training.config import Section


class CorpusConfig(Section):
    """The MiniLRS corpus that is made if no other corpus is given. `minilrs.plan.Spec` describes the fields."""

    flavour: Flavour
    speakers: int
    clips: int
    seed: int
    style: Style
    frames: int | None = None

    def spec(self) -> Spec:
        """Return these fields as a corpus specification."""
        return Spec(**self.model_dump())
