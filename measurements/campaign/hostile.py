"""Files of weights and arrays that lie: each is refused in a sentence, quickly, within little memory."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from found import COMMAND, Findings
from scipy.io import savemat

SECONDS, MIB = 60, 1500  # what a refusal may take, start and libraries included
BOMB = 1 << 30
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode
print("MEMORY", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
sys.exit(code)
"""


class _Runs:
    """A pickle that would run a program."""

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("touch ran",)


def _archive(change: Callable[[str, bytes], bytes], packed: bool = False) -> bytes:
    whole = io.BytesIO()
    torch.save({"netcnnlip.0.weight": torch.zeros(4)}, whole)
    out = io.BytesIO()
    with zipfile.ZipFile(whole) as read, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else 0) as write:
        for name in read.namelist():
            write.writestr(name, change(name, read.read(name)))
    return out.getvalue()


def _inside(name: str, content: bytes, packed: bool = False) -> bytes:
    return _archive(lambda found, held: content if found.endswith(name) else held, packed)


def _older(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def _saved(content: object) -> bytes:
    out = io.BytesIO()
    torch.save(content, out)
    return out.getvalue()


def _keras(folder: Path, shape: tuple[int, ...], names: list[bytes]) -> bytes:
    path = folder / "made.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = names
        group = file.create_group("conv2d_1")
        group.attrs["weight_names"] = [b"kernel:0"]
        group.create_dataset("kernel:0", shape=shape, dtype="f4", chunks=(1 << 16,) if shape[0] > 1 << 16 else None)
    return path.read_bytes()


def _matlab(folder: Path, content: object) -> bytes:
    savemat(folder / "made.mat", {"net": content}, do_compression=True)
    return (folder / "made.mat").read_bytes()


def _long(count: int) -> bytes:
    return b"\x80\x02(" + (b"C\xff" + b"x" * 255) * count + b"t."


def files(folder: Path) -> dict[str, bytes]:
    """The files by their names, whose suffixes say who reads them."""
    plain = {"netcnnlip.0.weight": torch.zeros(4)}
    whole, older = _saved(plain), _older(plain)
    header = b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}'
    entry = '{"dtype":"F32","shape":[4],"data_offsets":[%d,%d]}'
    overlapping = f'{{"a":{entry % (0, 16)},"b":{entry % (8, 24)}}}'.encode()
    return {
        "runs a program.pth": pickle.dumps(_Runs()),
        "runs a program, zip.pth": _inside("data.pkl", pickle.dumps(_Runs())),
        "runs a program, older.pth": _older({"a": _Runs()}),
        "a storage that unpacks to a gigabyte.pth": _inside("data/0", bytes(BOMB), packed=True),
        "a description that unpacks to a gigabyte.pth": _inside("data.pkl", _long(BOMB // 257), packed=True),
        "a long description.pth": _inside("data.pkl", _long(100_000)),
        "a long pickle.pth": _long(100_000),
        "many small strings.pth": b"\x80\x02(" + b"C\x01x" * 8_000_000 + b"t.",
        "announces two billion numbers.pth": _archive(
            lambda name, held: held.replace(b"K\x04", b"J" + struct.pack("<i", 2_000_000_000))
        ),
        "announces six gigabytes of text.pth": b"\x80\x04\x8e" + struct.pack("<Q", 6 << 30) + b"x.",
        "nested deep.pth": b"\x80\x02" + b"]" * 1_000_000 + b".",
        "nested deep, zip.pth": _inside("data.pkl", b"\x80\x02" + b"]" * 1_000_000 + b"."),
        "refers to nothing.pth": b"\x80\x02h\x05.",
        "cut.pth": whole[: len(whole) // 2],
        "cut, older.pth": older[: len(older) // 2],
        "no end of archive.pth": whole[:-22],
        "names that lead out.pth": _archive(lambda name, held: held).replace(b"archive/data/0", b"../../../../da"),
        "booleans.pth": _saved({"netcnnlip.0.weight": torch.zeros(4, dtype=torch.bool)}),
        "complex numbers.pth": _saved({"netcnnlip.0.weight": torch.zeros(4, dtype=torch.complex64)}),
        "a list.pth": _saved([1, 2, 3]),
        "no entries.pth": _saved({}),
        "sparse.pth": _saved({"netcnnlip.0.weight": torch.zeros(4, 4).to_sparse()}),
        "not a number.pth": _saved({"netcnnlip.0.weight": torch.full((96, 3, 5, 7, 7), float("nan"))}),
        "a header of gigabytes.safetensors": struct.pack("<Q", 4 << 30) + header,
        "announces gigabytes.safetensors": struct.pack("<Q", len(header)) + header + bytes(64),
        "overlapping.safetensors": struct.pack("<Q", len(overlapping)) + overlapping + bytes(24),
        "announces a gigabyte.h5": _keras(folder, (BOMB // 4,), [b"conv2d_1"]),
        "a layer that is not there.h5": _keras(folder, (4,), [b"conv2d_9"]),
        "cut.h5": _keras(folder, (4,), [b"conv2d_1"])[:600],
        "unpacks to a gigabyte.mat": _matlab(folder, np.zeros(BOMB // 8)),
        "another struct.mat": _matlab(folder, {"layers": 1, "params": 2}),
    }


def hostile(folder: Path, count: int, seed: int) -> Findings:
    """Every file through the command that reads its kind; `count` and `seed` change nothing."""
    found = Findings()
    for name, content in files(folder).items():
        path = folder / name
        path.write_bytes(content)
        generator = {".h5": "lipgan", ".mat": "speech2vid"}.get(path.suffix)
        command = ["score", _pairs(folder).parent / "clips", "--weights", path, "--out", folder / "run"]
        if generator:
            command = ["generate", generator, "--weights", path, "--manifest", _pairs(folder), "--out", folder / "v"]
        began = time.monotonic()
        found.tried += 1
        try:
            ended = subprocess.run(
                [sys.executable, "-c", _MEASURED, *COMMAND, *map(str, command)],
                capture_output=True,
                text=True,
                timeout=2 * SECONDS,
                cwd=folder,
                check=False,
            )
        except subprocess.TimeoutExpired:
            found.fault("hang", name)
            continue
        seconds, memory = time.monotonic() - began, int(ended.stdout.rsplit("MEMORY", 1)[1])
        said = ended.stderr.strip()
        found.ended[f"exit {ended.returncode}"] += 1
        if (folder / "ran").exists():
            found.fault("wrong", f"{name}: its program was run")
        if "Traceback" in said or ended.returncode not in (1, 2):
            found.fault("traceback", f"{name}: exit {ended.returncode}: {said[-200:]}")
        elif path.name not in " ".join(said.split()):
            found.fault("wrong", f"{name}: refused without its name: {said[-200:]}")
        if seconds > SECONDS or memory > MIB:
            found.fault("hang", f"{name}: {seconds:.0f} s, {memory} MiB")
    return found


def _pairs(folder: Path) -> Path:
    """A manifest of one pair."""
    import clips

    path = folder / "self.json"
    if not path.exists():
        clips.good(folder / "clips" / "a.mp4")
        subprocess.run(
            [*COMMAND, "manifest", "build", str(folder / "clips"), "--rule", "self", "--out", str(path)],
            check=True,
            capture_output=True,
        )
    return path
