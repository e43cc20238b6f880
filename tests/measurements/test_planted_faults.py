"""The faults that can be planted are still lines of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_fault_has_its_line() -> None:
    spec = importlib.util.spec_from_file_location("planted_faults", ROOT / "measurements" / "planted_faults.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert len(module.FAULTS) == 25
    for file, old, new in module.FAULTS:
        assert (ROOT / file).read_text(encoding="utf-8").count(old) == 1, f"{file}: {old}"
        assert old != new
