"""Several raters at once at the real command, which is killed in the middle; `measurements.scale.raters` takes 200."""

from __future__ import annotations

from pathlib import Path

import pytest

from measurements.scale.raters import run


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.network
def test_every_acknowledged_answer_is_stored_once(tmp_path: Path) -> None:
    ledger, faults = run(tmp_path, raters=12, trials=4)
    assert ledger.finished == 12 and len(ledger.acknowledged) > 250
    assert ledger.lost and ledger.twice and ledger.again, "the server was killed, and connections were lost"
    assert faults == dict.fromkeys(faults, 0)
