"""Speech2Vid as a generator for the common runner.

It loads the published MatConvNet files and the files of `lse-bench train`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lse_bench.baselines.speech2vid.alignment import RULE, aligned, put_back
from lse_bench.baselines.speech2vid.model import COLUMNS, IDENTITIES, MIDDLE
from lse_bench.baselines.speech2vid.weights import load_deblurring, load_network
from lse_bench.devices import exactly, loading
from lse_bench.errors import ClipError
from lse_bench.features.htk_mfcc import HOP, htk_mfcc
from lse_bench.generators.batches import batches
from lse_bench.generators.interface import FaceCrop, FaceGenerator, Options
from lse_bench.media.audio import Sound
from lse_bench.rates import SAMPLES_PER_FRAME
from lse_bench.weights.download import FetchSettings
from lse_bench.weights.readers import file_digest
from lse_bench.weights.store import resolve

_APART = 5  # frames from one picture of the identity to the next
_PER_FRAME = SAMPLES_PER_FRAME // HOP  # MFCC columns of one frame


class Speech2Vid(FaceGenerator):
    """The Speech2Vid generator (You said that?), which makes a still identity speak.

    The identity is five faces of the clip's first 21 frames. The sound of a frame is the 35 MFCC columns with the frame
    in their middle. With `legacy` the columns begin at the frame, as in the published demo. The drawn face is warped
    back into the frame with soft edges. This is the project's own choice, since the published code does not paste.
    """

    name: ClassVar[str] = "speech2vid"
    weights: ClassVar[str | None] = "speech2vid_v201"
    packages: ClassVar[tuple[str, ...]] = ("librosa",)
    settings: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"deblur": "file or name of the deblurring network, which sharpens the drawn face (v114.mat)"}
    )
    smoothing = "none"
    margin = 0.6

    @loading()
    def __init__(self, options: Options) -> None:
        self._network = load_network(options.needed_checkpoint(self.name)).to(options.device)
        deblur = options.setting("deblur", "")
        fetch = FetchSettings(offline=options.offline, trust=options.trust)
        self._deblur_file = resolve(deblur, fetch) if deblur else None
        self._deblur = None if self._deblur_file is None else load_deblurring(self._deblur_file).to(options.device)
        self._device = options.device
        self._start = (0 if options.legacy else -MIDDLE) + options.sound_offset

    def description(self) -> dict[str, object]:
        found: dict[str, object] = {
            "window_start": self._start,
            "alignment": "68 landmarks, or 5 where no more are known",
            "rule": RULE,
        }
        if self._deblur_file is not None:
            found["deblur_sha256"] = file_digest(self._deblur_file)
        return found

    def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
        first = list(islice(faces, _APART * (IDENTITIES - 1) + 1))
        if not first:
            return
        identity = self._identity(first)
        windows = sound_windows(sound, self._start)
        for batch in batches(zip(chain(first, faces), windows, strict=False)):
            crops = [crop for crop, _ in batch]
            drawn = self.draw(identity, np.stack([window for _, window in batch]))
            for crop, face in zip(crops, drawn, strict=True):
                points = _landmarks(crop)
                if points is None:  # the frame passes through unchanged
                    yield crop
                    continue
                pixels, mask = put_back(np.ascontiguousarray(face[..., ::-1]), points, *crop.pixels.shape[:2])
                yield FaceCrop(pixels, crop.box, mask=mask)

    def draw(self, identity: NDArray[np.float32], windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the drawn faces, float32 (n,109,109,3) RGB, 0-255.

        `identity`: five aligned RGB faces, (15,112,112), 0-255. `windows`: MFCC (n,12,35), NaN for digital silence.
        """
        with exactly(), torch.inference_mode():
            face = torch.from_numpy(identity)[None].to(self._device).expand(len(windows), -1, -1, -1)
            sound = torch.from_numpy(windows[:, None]).to(self._device)
            drawn = self._network({"input_audio": sound, "input_face": face})
            if self._deblur is not None:
                drawn = (drawn + self._deblur({"input_lip": drawn})).clamp(0, 1)
            return np.ascontiguousarray((drawn * 255).permute(0, 2, 3, 1).cpu().numpy())

    def _identity(self, first: list[FaceCrop]) -> NDArray[np.float32]:
        known = [(crop, points) for crop in first if (points := _landmarks(crop)) is not None]
        if not known:
            raise ClipError(
                "the face",
                "generator_failed",
                f"Speech2Vid aligns faces by landmarks, but the first {len(first)} faces have none. Use --detector "
                "centerface (5 landmarks), or box files .npz that contain landmarks (68)",
            )
        chosen = [known[min(number * _APART, len(known) - 1)] for number in range(IDENTITIES)]
        faces = [aligned(_rgb(crop), points) for crop, points in chosen]
        return np.concatenate(faces, axis=2).transpose(2, 0, 1).astype(np.float32)


def _rgb(crop: FaceCrop) -> NDArray[np.uint8]:
    return np.ascontiguousarray(crop.pixels[..., ::-1], dtype=np.uint8)


def sound_windows(sound: Sound, start: int) -> NDArray[np.float32]:
    """Return the windows of MFCC rows 1-12 of all frames, float32 (frames,12,35).

    The window of frame n starts at frame n + `start`. Beyond the ends of the sound there is digital silence, NaN.
    """
    frames = len(sound) // SAMPLES_PER_FRAME
    before = max(0, -start) * SAMPLES_PER_FRAME
    skipped = max(0, start) * SAMPLES_PER_FRAME
    needed = (frames - 1) * SAMPLES_PER_FRAME + (COLUMNS - 1) * HOP + 400
    padded = np.concatenate([np.zeros(before, np.int16), sound[skipped:], np.zeros(max(0, needed), np.int16)])[:needed]
    mfcc = htk_mfcc(padded)[1:].astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(mfcc, COLUMNS, axis=1)
    return views[:, : frames * _PER_FRAME : _PER_FRAME].transpose(1, 0, 2)


def _landmarks(crop: FaceCrop) -> NDArray[np.float64] | None:
    return crop.landmarks if crop.landmarks is not None and len(crop.landmarks) in (5, 68) else None
