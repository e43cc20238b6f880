"""Read single pictures from files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lse_bench.errors import ClipError
from lse_bench.media.video import Frame
from lse_bench.remote.cache import local_copy

PICTURE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"])


def read_picture(path: Path) -> Frame:
    """Return a picture as a BGR uint8 frame (H,W,3).

    A rotation in its EXIF data is ignored, as in pytorch-fid. Raises ClipError `unreadable` if the file cannot be read
    or decoded.
    """
    try:
        data = np.frombuffer(local_copy(path).read_bytes(), np.uint8)
    except OSError as error:
        raise ClipError(path, "unreadable", f"cannot be read: {error.strerror}") from None
    frame = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
    if frame is None:
        raise ClipError(path, "unreadable", f"not a picture that OpenCV can decode ({len(data):,} bytes)")
    return np.asarray(frame, dtype=np.uint8)
