"""A plug-in of pytest that keeps what the tests compare: how far each number found is from the one wanted, and its
tolerance.

`pytest -p spread_plugin` with LSE_BENCH_SPREAD=FOLDER writes one .npz a process. It stands in for `pytest.approx`,
`numpy.testing.assert_allclose` and `torch.testing.assert_close`, which decide as before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

_FOLDER = "LSE_BENCH_SPREAD"
_MOST = 100_000  # numbers kept of one comparison

_kept: dict[str, NDArray[np.float64]] = {}
_test = ""
_count = 0


def _flat(value: Any) -> NDArray[np.float64]:
    if isinstance(value, dict):
        value = [value[name] for name in sorted(value)]
    if isinstance(value, torch.Tensor):
        value = value.detach().double().cpu().numpy()
    return np.asarray(value, dtype=np.float64).ravel()[:_MOST]


def _keep(found: Any, wanted: Any, relative: float, absolute: float, largest: bool) -> None:
    """One comparison as rows `found` - `wanted` and `tolerance`; what is no number is left out.

    `largest`: the larger of the two tolerances counts, not their sum.
    """
    global _count
    try:
        values, expected = _flat(found), _flat(wanted)
    except (TypeError, ValueError):
        return
    if values.shape != expected.shape or not _test:
        return
    parts = relative * np.abs(expected), np.full_like(expected, absolute)
    tolerance = np.maximum(*parts) if largest else parts[0] + parts[1]
    _kept[f"{_test}#{_count:04d}"] = np.stack([values - expected, tolerance])
    _count += 1


class _Approx:
    """What `pytest.approx` gives, and keeps what it is compared with."""

    __array_ufunc__ = None
    __array_priority__ = 100

    def __init__(self, real: Any, expected: Any, rel: float | None, abs: float | None) -> None:
        self._real, self._expected = real, expected
        self._relative = rel if rel is not None else (1e-6 if abs is None else 0.0)
        self._absolute = 1e-12 if abs is None else abs

    def __eq__(self, found: object) -> bool:
        _keep(found, self._expected, self._relative, self._absolute, largest=True)
        return bool(self._real == found)

    def __ne__(self, found: object) -> bool:
        return not self == found

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._real)


def pytest_configure(config: pytest.Config) -> None:
    """Put the stand-ins in place."""
    approx, allclose, close = pytest.approx, np.testing.assert_allclose, torch.testing.assert_close

    def kept_approx(expected: Any, rel: float | None = None, abs: float | None = None, nan_ok: bool = False) -> Any:
        return _Approx(approx(expected, rel, abs, nan_ok), expected, rel, abs)

    def kept_allclose(actual: Any, desired: Any, rtol: float = 1e-7, atol: float = 0, **rest: Any) -> None:
        _keep(actual, desired, rtol, atol, largest=False)
        allclose(actual, desired, rtol, atol, **rest)

    def kept_close(actual: Any, expected: Any, **rest: Any) -> None:
        _keep(actual, expected, rest.get("rtol", 1.3e-6), rest.get("atol", 1e-5), largest=False)
        close(actual, expected, **rest)

    pytest.approx, np.testing.assert_allclose, torch.testing.assert_close = kept_approx, kept_allclose, kept_close  # type: ignore[assignment]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Name what is compared from here on."""
    global _test, _count
    _test, _count = item.nodeid.replace("/", "|"), 0


def pytest_sessionfinish() -> None:
    """Write what this process has kept."""
    if _kept:
        folder = Path(os.environ[_FOLDER])
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / f"{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}.npz", **_kept)  # type: ignore[arg-type]
