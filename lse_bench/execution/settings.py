"""The environment variables about files elsewhere. A worker that was started before they were set has older values."""

from __future__ import annotations

import os

from lse_bench.remote.cache import FOLDER, LIMIT
from lse_bench.remote.stores import OFFLINE, OPTIONS, forget

_NAMES = (OFFLINE, OPTIONS, FOLDER, LIMIT)
Settings = dict[str, str]


def settings() -> Settings:
    """Return the variables of this process, for its workers."""
    return {name: os.environ[name] for name in _NAMES if name in os.environ}


def take(given: Settings) -> None:
    """Set the variables in a worker, before it starts with new work."""
    for name in _NAMES:
        os.environ.pop(name, None)
    os.environ.update(given)
    forget()
