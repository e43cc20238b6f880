"""Limits on the unpacked size of a file of weights, checked before memory is allocated for its content.

`storage.refuse_growth` has the rule. A message states the limit that was exceeded.
"""

from __future__ import annotations

import pickletools
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from lse_bench.errors import WeightsError
from lse_bench.storage import refuse_bomb, refuse_growth

MAX_PICKLE = 16 << 20  # bytes that describe a checkpoint's entries; a large one has some thousands, 100 bytes each
_OLDER = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the older torch format: magic number, protocol, system, object
_BLOCK = 1 << 20


def refuse_archive(path: Path) -> None:
    """Refuse a torch checkpoint (a zip archive) that is too large when unpacked or has too long a description.

    Raises WeightsError if it unpacks to more than `refuse_growth` allows, or if its description of entries is longer
    than 16 MiB. Raises BadZipFile if the archive is damaged.
    """
    refuse_bomb(path, WeightsError)
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith("data.pkl"):
                _refuse_description(path, entry.file_size)


def refuse_pickle(path: Path) -> None:
    """Refuse a checkpoint in the older torch format that has too long a description.

    The length comes from the pickle's opcodes, and none of them is executed. A file that is not a pickle passes here
    and fails in the reader. Raises WeightsError if the description of entries is longer than 16 MiB.
    """
    with path.open("rb") as file:
        older = file.read(len(_OLDER)) == _OLDER
        file.seek(0)
        for _ in range(5 if older else 1):  # magic number, protocol, system, object, keys of the storages
            if not _passes(file):
                break
        else:
            return
        if file.tell() > MAX_PICKLE:
            _refuse_description(path, file.tell())


def refuse_matlab(path: Path) -> None:
    """Raise WeightsError if a MATLAB 5 file unpacks to more than `refuse_growth` allows."""
    unpacked, size = 0, path.stat().st_size
    with path.open("rb") as file:
        order = "little" if file.read(128)[126:128] == b"IM" else "big"
        while len(tag := file.read(8)) == 8:
            kind, length = (int.from_bytes(part, order) for part in (tag[:4], tag[4:]))  # type: ignore[arg-type]
            after = file.tell() + length
            if kind != 15:  # not compressed: at most as large as the file, else it is cut off
                unpacked += min(length, size)
            else:
                inflater, left = zlib.decompressobj(), length
                while left > 0 and (packed := file.read(min(left, _BLOCK // 16))):
                    left -= len(packed)
                    while packed:
                        unpacked += len(inflater.decompress(packed, _BLOCK))
                        packed = inflater.unconsumed_tail
                        refuse_growth(path, unpacked, WeightsError)
            file.seek(after)
    refuse_growth(path, unpacked, WeightsError)


def _passes(file: BinaryIO) -> bool:
    """Return whether a pickle ends before the limit. If it does, the file's position is behind it."""
    try:
        for _, _, position in pickletools.genops(file):
            if position is not None and position > MAX_PICKLE:
                return False
    except Exception:  # noqa: BLE001 - a file that is not a pickle can raise anything
        return False
    return True


def _refuse_description(path: Path, length: int) -> None:
    if length > MAX_PICKLE:
        raise WeightsError(
            f"{path}: its description of entries has {length:,} bytes or more, and the limit is {MAX_PICKLE:,}. These "
            "are not the weights of a network"
        )
