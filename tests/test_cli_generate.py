"""`generate`, then `score`: the real commands, each baseline, plug-ins from another package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import venv
import wave
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from checkpoints import WAV2LIP_TEMPER, filled, write_lipgan, write_wav2lip
from commands import lse_bench_here, with_path
from test_cli import records_of

from lse_bench.baselines.speech2vid.model import entry_shapes, generator_layers
from lse_bench.baselines.wav2lip.model import Generator
from lse_bench.faces.detectors import load_detector
from lse_bench.faces.face import overlap
from lse_bench.manifests.generated import read_rows
from lse_bench.manifests.manifest import Manifest, job_of, read_manifest, write_manifest
from lse_bench.media.audio import read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.minilrs.truth import truth_path
from lse_bench.training.export import write_weights
from lse_bench.weights.formula import formula_weights

ROOT = Path(__file__).parents[1]
PAIRS = 2
NARROW = 1 / 16


@pytest.fixture(scope="module")
def pairs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of the test split of MiniLRS."""
    path = tmp_path_factory.mktemp("manifest") / "pairs.json"
    result = lse_bench_here("manifest", "build", corpus, "--pairs", PAIRS, "--out", path)
    assert result.returncode == 0, result.stderr
    return path


def checkpoint_of(name: str, folder: Path) -> Path:
    """LipGAN's published form, and narrow networks of our own; `tests/baselines` read every other form."""
    if name == "lipgan":
        return write_lipgan(folder / "lipgan.h5", "fully_pythonic_basic")
    path, about = folder / "weights.safetensors", {"lse_bench": name, "width": repr(NARROW), "window_offset": "0"}
    if name == "speech2vid":
        entries = formula_weights(entry_shapes(generator_layers(NARROW)))
        write_weights(path, {key: torch.from_numpy(np.asarray(value)) for key, value in entries.items()}, about)
    else:
        write_weights(path, filled(Generator(NARROW), "output_block.1", WAV2LIP_TEMPER), about)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wav2lip", "lipgan", "speech2vid"])
def test_generate_then_score(name: str, pairs: Path, corpus: Path, tmp_path: Path) -> None:
    out, run = tmp_path / "videos", tmp_path / "run"
    options = ("--manifest", pairs, "--weights", checkpoint_of(name, tmp_path), "--out", out, "--json")
    boxes = ("--detector", "boxes", "--boxes", corpus / "minilrs" / "truth" / "mvlrs_v1" / "main")
    made = lse_bench_here(
        "generate", name, *options, *(() if name == "lipgan" else boxes)
    )  # lipgan: the default detector
    assert made.returncode == 0, made.stderr
    centerface = load_detector("centerface")
    summary = json.loads(made.stdout)
    assert summary["made"] == PAIRS and summary["decodes"] == summary["videos"]
    for job in read_manifest(pairs).jobs:
        info = probe(out / f"{job.id}.mp4")
        assert info.video is not None and info.sound is not None
        assert (info.video.width, info.video.height, info.video.rate) == (160, 160, 25)
        source, heard = (probe(corpus / file) for file in (job.video, job.sound))
        ours, theirs = (np.concatenate(list(read_sound(one))).astype(float) for one in (info, heard))
        assert np.corrcoef(ours[: len(theirs)], theirs[: len(ours)])[0, 1] > 0.98
        frames, plain = (list(read_frames(one)) for one in (info, source))
        assert 66 <= len(frames) <= 75  # a window of sound at the end has no frame
        box = np.load(truth_path(corpus / job.video, corpus))["boxes"][30]
        if name == "lipgan":  # the default detector; its boxes are a little off the true ones
            (found,) = centerface.faces(corpus / job.video, [plain[30]])
            assert found and overlap(found[0].box, box) > 0.5
            box = found[0].box
        left, top, right, bottom = box.astype(int)
        changed = np.abs(frames[30].astype(int) - plain[30]).mean(axis=2) > 30
        inside = np.zeros_like(changed)
        inside[max(0, top - 14) : bottom + 14, max(0, left - 14) : right + 14] = True
        assert changed[inside].mean() > 0.3 and changed[~inside].mean() < 0.02
    scored = lse_bench_here("score", out, "--weights", "syncnet-mini", "--out", run)
    assert scored.returncode == 0, scored.stderr
    assert {record["status"] for record in records_of(run).values()} == {"ok"}
    assert all("sound" in record["groups"] for record in records_of(run).values())


@pytest.mark.slow
def test_real_has_the_scores_of_its_sources(pairs: Path, corpus: Path, tmp_path: Path) -> None:
    assert lse_bench_here("generate", "real", "--manifest", pairs, "--out", tmp_path / "real").returncode == 0
    for name, folder in (("real", tmp_path / "real"), ("sources", corpus / "mvlrs_v1")):
        ended = lse_bench_here("score", folder, "--weights", "syncnet-mini", "--out", tmp_path / name / "run")
        assert ended.returncode in (0, 1)
    ours, sources = (records_of(tmp_path / name / "run") for name in ("real", "sources"))
    digests = {record["sha256"]: record for record in sources.values()}
    assert len(ours) == len({job.video for job in read_manifest(pairs).jobs})
    for record in ours.values():
        same = digests[record["sha256"]]
        assert record["offset"] == same["offset"]
        # The clips share batches with others; that moves the last digit of float64.
        assert (record["lse_d"], record["lse_c"]) == pytest.approx((same["lse_d"], same["lse_c"]), abs=1e-6)


@pytest.mark.slow
def test_legacy_drops_what_the_original_drops(tmp_path: Path) -> None:
    """A sound of 161 mel columns has 46 windows: a video of 46 frames is kept, one of 45 is skipped, as is one with a
    faceless frame; the original says nothing of either."""
    sources = tmp_path / "sources"
    for name, frames in (("enough", 46), ("short", 45), ("faceless", 60)):
        clips.write(sources / f"{name}.mp4", clips.even(frames), clips.speech(frames / 25))
        rows: list[list[dict[str, list[int]]]] = [[{"bbox": [20, 30, 80, 90]}] for _ in range(frames)]
        if name == "faceless":
            rows[33] = []
        (sources / f"{name}.json").write_text(json.dumps(rows))
    with wave.open(str(sources / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(clips.speech(2.0)[:32000].tobytes())
    jobs = tuple(job_of(name, "speech", f"{name}.mp4", "speech.wav") for name in ("enough", "short", "faceless"))
    write_manifest(Manifest(name="made-up", corpus="folder", root=str(sources), jobs=jobs), tmp_path / "pairs.json")
    weights = write_wav2lip(tmp_path / "wav2lip.pth")
    call = ("generate", "wav2lip", "--legacy", "--manifest", tmp_path / "pairs.json", "--weights", weights)
    made = lse_bench_here(*call, "--boxes", sources, "--out", tmp_path / "out", "--max-failed", 2)
    assert made.returncode == 0, made.stderr
    rows_made = {row.id: row for row in read_rows(tmp_path / "out")}
    assert {name: row.status for name, row in rows_made.items()} == {
        "enough+speech": "ok",
        "short+speech": "generator_failed",
        "faceless+speech": "no_face",
    }
    assert rows_made["enough+speech"].frames == 46
    loop = lse_bench_here(*call, "--boxes", sources, "--out", tmp_path / "loop", "--short", "loop")
    assert loop.returncode == 2 and "--legacy makes the published choices" in loop.stderr
    no_s3fd = lse_bench_here(*call, "--out", tmp_path / "s3fd")
    assert no_s3fd.returncode == 2 and "lse-bench weights fetch s3fd" in no_s3fd.stderr


def test_unknown_names_and_missing_weights(pairs: Path, tmp_path: Path) -> None:
    for arguments, words in {
        ("wav2lop",): "Did you mean wav2lip?",
        ("wav2lip",): "Download wav2lip.pth in a browser",
        ("real", "--pads", "1,2,3,4"): "makes whole videos",
        ("unsynced", "--short", "stretch"): "Invalid value for '--short'",
    }.items():
        result = lse_bench_here("generate", *arguments, "--manifest", pairs, "--out", tmp_path / "out")
        assert result.returncode == 2, arguments
        assert words in " ".join(result.stderr.split()), result.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment beside this one with two more packages: the one of `plugin_package/`, and the document's."""
    folder = tmp_path_factory.mktemp("plugins")
    document = (ROOT / "docs" / "add-a-generator.md").read_text(encoding="utf-8")
    written = folder / "document"
    written.mkdir()
    for language, file in (("python", "blur_mouths.py"), ("toml", "pyproject.toml")):
        (block,) = re.findall(rf"```{language}\n(.*?)```", document, flags=re.DOTALL)
        (written / file).write_text(block)
    assert len((written / "blur_mouths.py").read_text().splitlines()) <= 40
    source = folder / "plugin_package"
    for path in (ROOT / "tests" / "plugin_package").rglob("*"):
        if path.is_file() and "egg-info" not in str(path) and "__pycache__" not in str(path):
            target = source / path.relative_to(ROOT / "tests" / "plugin_package")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    venv.create(folder / "venv", with_pip=False, system_site_packages=False)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    for package in (source, written):
        subprocess.run([*install, "--target", site, package], check=True, capture_output=True)
    return site


def with_plugins(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lse_bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=with_path(site))


@pytest.mark.command
def test_plugins_are_listed_and_a_broken_one_stops_nothing(plugins: Path) -> None:
    listed = with_plugins(plugins, "generate", "--list", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert rows["mirror"]["package"] == "lse-bench-mirror" and rows["mirror"]["what"] == "Turns every face upside down."
    assert rows["blur-mouths"]["broken"] is None and "strength" in rows["blur-mouths"]["settings"]
    assert "a_package_that_nobody_has" in rows["broken"]["broken"]
    assert "please install something" in rows["impatient"]["broken"]
    # Of two with one name ours has it, and the other is told apart.
    assert rows["wav2lip"]["package"] == "lse-bench" and rows["wav2lip@lse-bench-mirror"]["broken"] is None
    assert "neither a FaceGenerator nor a VideoGenerator" in rows["stranger"]["broken"]
    assert {"real", "unsynced", "command", "wav2lip", "wav2lip-gan", "lipgan", "speech2vid"} <= set(rows)
    assert not any(rows[name]["broken"] for name in ("wav2lip", "lipgan", "speech2vid"))


@pytest.mark.command
def test_plugins_run(plugins: Path, pairs: Path, corpus: Path, tmp_path: Path) -> None:
    boxes = ("--boxes", corpus / "minilrs" / "truth" / "mvlrs_v1" / "main", "--manifest", pairs)
    for name in ("mirror", "blur-mouths"):
        made = with_plugins(plugins, "generate", name, *boxes, "--out", tmp_path / name)
        assert made.returncode == 0, made.stderr
        assert len(list((tmp_path / name).glob("*.mp4"))) == PAIRS
    job = read_manifest(pairs).jobs[0]
    source = next(iter(read_frames(probe(corpus / job.video)))).astype(int)
    mirrored = next(iter(read_frames(probe(tmp_path / "mirror" / f"{job.id}.mp4")))).astype(int)
    left, top, right, bottom = (
        np.load(truth_path(corpus / job.video, corpus))["boxes"][:5].astype(int).mean(axis=0).astype(int)
    )
    face = source[top:bottom, left:right]
    turned = mirrored[top:bottom, left:right]
    assert np.abs(turned - face[::-1]).mean() < 12 < np.abs(turned - face).mean()
    broken = with_plugins(plugins, "generate", "broken", *boxes, "--out", tmp_path / "broken")
    assert broken.returncode == 2 and "the generator broken of lse-bench-mirror is broken" in broken.stderr


def test_manifest_commands(pairs: Path, corpus: Path, tmp_path: Path) -> None:
    checked = lse_bench_here("manifest", "check", pairs, "--json")
    assert checked.returncode == 0 and json.loads(checked.stdout)["problems"] == []
    moved = lse_bench_here("manifest", "check", pairs, "--root", tmp_path)
    assert moved.returncode == 1 and "no such file" in moved.stderr
    shown = json.loads(lse_bench_here("manifest", "show", pairs, "--json").stdout)
    assert shown["pairs"] == PAIRS and shown["corpus"] == "lrs2" and shown["self_pairs"] == 0
    (tmp_path / "lrs2.txt").write_text("100/00001 200/00002\n")
    call = ("manifest", "import", "lrs2", "--list", tmp_path / "lrs2.txt", "--out", tmp_path / "lrs2.json")
    refused = lse_bench_here(*call)
    assert refused.returncode == 2 and "the official list has" in refused.stderr
    assert lse_bench_here(*call, "--any-digest").returncode == 0
    assert "lrs2-unofficial" in lse_bench_here("manifest", "show", tmp_path / "lrs2.json").stdout
    assert "signed agreement" in lse_bench_here("manifest", "corpora").stdout
