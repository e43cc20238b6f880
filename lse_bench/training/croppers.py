"""Methods that cut faces out of frames for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.faces.face import Face, padded_box


class Cropper(Protocol):
    """A method that cuts the face out of a frame. `name`: its name in `--crop`. `size`: the side of a crop, pixels."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8] | None:
        """Return the face as BGR (size, size, 3), or None if it cannot be cut out."""

    def settings(self) -> dict[str, object]:
        """Return all other settings that change pixels, by name."""


@dataclass(frozen=True)
class BoxCropper:
    """A crop to the detector's bounding box, as in Wav2Lip and LipGAN.

    `pads`: pixels of the frame that are added at the top, bottom, left and right of the box.
    """

    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    size: int = 96
    name: str = "box"

    def crop(self, frame: NDArray[np.uint8], face: Face) -> NDArray[np.uint8] | None:
        """Return the resized box of `face`, as `Cropper.crop` describes."""
        box = padded_box(face.box, self.pads, frame.shape[1], frame.shape[0])
        if box is None:
            return None
        left, top, right, bottom = box
        return np.asarray(cv2.resize(frame[top:bottom, left:right], (self.size, self.size)), dtype=np.uint8)

    def settings(self) -> dict[str, object]:
        """Return the pads."""
        return {"pads": list(self.pads)}
