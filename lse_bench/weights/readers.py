"""Reading checkpoints as state dicts, without executing code from the file.

`read_torch` reads safetensors, and the torch format (zip and the older pickle) by `torch.load(weights_only=True)`.
TorchScript contains code. It is opened for its state dict only if its digest is published or the caller trusts it, and
none of its methods is called. An error message says what the refused file is. `keras.py` and `matconvnet.py` read the
other formats.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pickletools
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lse_bench.errors import WeightsError
from lse_bench.remote.cache import local_copy
from lse_bench.weights.bounds import refuse_archive, refuse_pickle
from lse_bench.weights.table import name_of_digest

if TYPE_CHECKING:
    from torch import Tensor

# An entry that only this kind of network has, and the name of the kind. The first match counts.
_KINDS = {
    "netcnnlip.0.weight": "SyncNet (syncnet_v2.model), the scorer",
    "binary_pred.0.weight": "Wav2Lip's visual quality discriminator",
    "audio_refine.0.conv_block.0.weight": "a TANGO-style Wav2Lip fork (with audio_refine)",
    "sam.sa.conv1.weight": "a Wav2Lip fork with spatial attention (SAM)",
    "face_encoder_blocks.8.0.conv_block.0.weight": "a Wav2Lip fork for 384 pixels",
    "face_encoder_blocks.7.0.conv_block.0.weight": "a Wav2Lip fork for 288 pixels",
    "face_decoder_blocks.0.0.conv_block.0.weight": "a Wav2Lip generator (wav2lip.pth or wav2lip_gan.pth)",
    "face_encoder.0.conv_block.0.weight": "Wav2Lip's lip-sync expert (lipsync_expert.pth)",
    "vgg.0.weight": "the face detector S3FD (sfd_face.pth)",
    "conv3_3_norm_mbox_conf.weight": "the face detector S3FD (s3fd-619a316812.pth)",
    "Conv2d_1a_3x3.conv.weight": "the Inception network of FID",
}


def file_digest(path: Path | str) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with local_copy(Path(path)).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_digests(digests: Iterable[str]) -> str:
    """Return the SHA-256 over the digests of several files, which does not depend on their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def kind_of(entries: Mapping[str, Any]) -> str:
    """Return a description of the network that a state dict belongs to.

    For an unknown network the text gives the number of entries and the first entry.
    """
    for entry, kind in _KINDS.items():
        if entry in entries:
            return kind
    first = next(iter(entries), "none")
    return f"an unknown network (first of {len(entries)} entries: {first})"


def read_torch(path: Path | str, *, trust_script: bool = False) -> dict[str, Tensor]:
    """Read the state dict in a checkpoint: entry name to tensor, on the CPU.

    A training checkpoint (`{"state_dict": …, "optimizer": …}`) is reduced to its state dict, and the prefix `module.`
    of data-parallel training is removed. Code in the file is not executed. `trust_script`: True allows TorchScript of
    unknown origin, which is opened for its state dict only. Raises WeightsError if the file is missing, damaged, unsafe
    or not a state dict of real numbers.
    """
    path = Path(path)
    refuse_other_formats(path, "torch")
    if _is_script(path):
        content = _read_script(path, trust_script)
    else:
        content = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not state or not all(hasattr(value, "shape") for value in state.values()):
        raise WeightsError(
            f"{path}: readable, but not a state dict (it is a {type(content).__name__}). Nothing was loaded"
        )
    if all(str(name).startswith("module.") for name in state):
        state = {str(name).removeprefix("module."): value for name, value in state.items()}
    for name, value in state.items():
        kind = str(value.dtype).removeprefix("torch.")
        if kind.startswith(("bool", "complex", "quint", "qint")):
            raise WeightsError(
                f"{path}: {name} has the type {kind}, and real numbers are expected. Does the file hold weights?"
            )
    return state


_FORMATS = {
    "HDF5": (b"\x89HDF", "an HDF5 file (Keras weights, such as LipGAN's)"),
    "MATLAB": (b"MATLAB 5.0", "a MATLAB file (MatConvNet weights, such as Speech2Vid's)"),
    "torch": (b"PK", "a zip archive (a torch checkpoint, such as Wav2Lip's)"),
    "torch, older": (b"\x80\x02", "a pickle (a torch checkpoint, such as Wav2Lip's)"),
}


def refuse_other_formats(path: Path, wanted: str) -> None:
    """Raise WeightsError if a file is missing, empty, an HTML page, a Git LFS pointer, damaged or of another format.

    `wanted`: the expected format, `torch`, `HDF5` or `MATLAB`.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file")
    if path.is_dir():
        raise WeightsError(f"{path}: this is a folder. Give the checkpoint file")
    if not path.is_file():
        raise WeightsError(f"{path}: this is not a regular file. A pipe or a device may never end")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if size == 0:
        raise WeightsError(f"{path}: the file is empty (0 bytes). The download failed")
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        raise WeightsError(
            f"{path}: this is an HTML page of {size:,} bytes, not a checkpoint, because the server sent a web page (a "
            "form, a login or an error). Download the file in a browser"
        )
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: this is a Git LFS pointer, not the file itself. Run `git lfs pull`")
    for name, (magic, what) in _FORMATS.items():
        if head.startswith(magic) and not name.startswith(wanted):
            other = "a torch checkpoint" if wanted == "torch" else f"{wanted} weights"
            raise WeightsError(f"{path}: this is {what}, not {other}")
    if head.startswith(b"PK"):
        _refuse_bad_archive(path, size)


def _refuse_bad_archive(path: Path, size: int) -> None:
    if not zipfile.is_zipfile(path):
        raise WeightsError(
            f"{path}: this torch checkpoint is cut off after {size:,} bytes (its archive has no end): the download is "
            "truncated. Delete the file and download it again"
        )
    try:
        refuse_archive(path)
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path}: this torch checkpoint's archive is damaged: {error}. Download it again") from None


def read_metadata(path: Path | str) -> dict[str, str]:
    """Read the metadata of a safetensors file (see `training/export.py`). Any other file gives an empty dict.

    Raises WeightsError if the safetensors file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file() or not _is_safetensors(path):
        return {}
    try:
        with safe_open(path, framework="np") as file:
            return dict(file.metadata() or {"format": "unknown"})
    except SafetensorError as error:
        raise WeightsError(f"{path}: this safetensors file is damaged: {error}") from None


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist())


def _read_script(path: Path, trusted: bool) -> Any:
    if not trusted and name_of_digest(file_digest(path)) is None:
        raise WeightsError(
            f"{path}: this is a TorchScript archive, which contains code. Reading its weights does not call this code, "
            "but torch must build its classes; pass --trust if you trust the origin of the file "
            f"(sha256 {file_digest(path)})"
        )
    import torch

    try:
        return dict(torch.jit.load(path, map_location="cpu").state_dict())  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise WeightsError(f"{path}: this TorchScript archive cannot be opened: {str(error).splitlines()[0]}") from None


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: this safetensors file is damaged: {error}") from None


def _read_pickle(path: Path) -> Any:
    import torch

    if not zipfile.is_zipfile(path):
        refuse_pickle(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # noqa: BLE001 - a hostile or cut file can raise anything; its content decides the message
        calls = [name for name in _imports(path) if not name.startswith(_TENSOR_MODULES)]
        if calls:
            raise WeightsError(
                f"{path}: refused: the file imports {', '.join(calls[:3])}, which no state dict needs, and none of it "
                "was run. Save `model.state_dict()` instead of the model"
            ) from None
        raise WeightsError(_damaged(path)) from None


# The pickle of a plain state dict imports only these.
_TENSOR_MODULES = (
    "torch._utils.",
    "torch.FloatStorage",
    "torch.LongStorage",
    "torch.storage.",
    "collections.OrderedDict",
)


def _imports(path: Path) -> list[str]:
    """Return the names that a pickle would import, read from its opcodes without executing them."""
    names: list[str] = []
    strings: list[str] = []
    # The file may be cut off or not a pickle. Then the names before the error count.
    with contextlib.suppress(Exception):
        for opcode, argument, _ in pickletools.genops(_pickle_bytes(path)):
            if opcode.name == "GLOBAL":
                names.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
                names.append(".".join(strings[-2:]))
            if isinstance(argument, str):
                strings.append(argument)
    return names


def _pickle_bytes(path: Path) -> bytes:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inner = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            return archive.read(inner)
    with path.open("rb") as file:
        data = file.read(1 << 22)
    # The older torch format is a sequence of pickles: magic number, protocol, system, then the object itself.
    stream = io.BytesIO(data)
    if data.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."):
        for _ in range(3):
            for _ in pickletools.genops(stream):
                pass
    return stream.read()


def _damaged(path: Path) -> str:
    size = path.stat().st_size
    with path.open("rb") as file:
        torch_like = file.read(2) in (b"\x80\x02", b"PK")
    if torch_like:
        return f"{path}: this torch checkpoint ends early or is damaged ({size:,} bytes). Download it again"
    return f"{path}: this is not a torch checkpoint or a safetensors file ({size:,} bytes)"
