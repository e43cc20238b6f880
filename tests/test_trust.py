"""Nothing taken on trust, through the real command: stale, foreign, cut and broken outputs; weights; training."""

from __future__ import annotations

import json
import re
import sys
from importlib.resources import files
from pathlib import Path

import clips
import numpy as np
import pytest
from commands import lse_bench_here

from lse_bench.manifests.generated import read_rows
from lse_bench.manifests.manifest import Job, Manifest, write_manifest

pytestmark = pytest.mark.command
WRITE = """
import sys
from itertools import islice
from pathlib import Path
from lse_bench.generators.interface import sound_of
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip
frames = islice(read_frames(probe(sys.argv[1])), int(float(sys.argv[4]) * 25))
write_clip(Path(sys.argv[3]), frames, sound_of(Path(sys.argv[2])))
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    clips.good(tmp_path / "a.mp4", 2.4)
    noise = np.convolve(np.random.default_rng(0).normal(0, 4000, 38_400), np.hanning(24) / 12, mode="same")
    clips.write(tmp_path / "b.mp4", clips.even(60), noise.astype(np.int16), seed=5)
    jobs = [Job(id=f"{n}", video="a.mp4", sound="b.mp4", groups={"video": "a", "sound": "b"}) for n in range(8)]
    manifest = Manifest(name="eight", corpus="folder", root=str(tmp_path), jobs=tuple(jobs))
    write_manifest(manifest, tmp_path / "pairs.json")
    (tmp_path / "write.py").write_text(WRITE)
    return tmp_path / "pairs.json"


def command(pairs: Path, line: str, *more: object) -> list[object]:
    python = f'"{sys.executable}"'
    return ["generate", "command", "--command", line.format(python=python, program=pairs.with_name("write.py")),
            "--manifest", pairs, "--out", pairs.with_name("videos"), *more]  # fmt: skip


def test_t1_old_videos_do_not_stand_for_a_new_program(pairs: Path) -> None:
    line = '{python} "{program}" {{video}} {{audio}} {{output}} 2.4'
    assert lse_bench_here(*command(pairs, line)).returncode == 0
    program = pairs.with_name("write.py")
    program.write_text(program.read_text() + "# better\n")
    ended = lse_bench_here(*command(pairs, line))
    assert ended.returncode == 2 and "holds a generation with another description files" in ended.stderr
    assert "write.py" in ended.stderr and "choose another --out" in ended.stderr


def test_t2_foreign_sound_and_t3_cut_videos_are_said_and_counted(pairs: Path) -> None:
    for line, fault, words in (
        ("cp {{video}} {{output}}", "foreign_sound", "not as asked: 8, sound that is not the job's"),
        (
            '{python} "{program}" {{video}} {{audio}} {{output}} 1',
            "short_picture",
            "not as asked: 8, a picture shorter",
        ),
    ):
        ended = lse_bench_here(*command(pairs, line, "--json", "--out", pairs.with_name(fault)))
        assert ended.returncode == 0 and words in " ".join(ended.stderr.split()), ended.stderr
        assert json.loads(ended.stdout)["looked"] == {fault: 8}
        run = pairs.with_name(f"run-{fault}")
        score = ["score", pairs.with_name(fault), "--weights", "syncnet-mini", "--protocol", "lrs-lossless"]
        assert lse_bench_here(*score, "--out", run).returncode == 0
        refused = lse_bench_here("leaderboard", "add", run, "--out", pairs.with_name("results"))
        assert refused.returncode == 2 and "8 videos have " + words.split(", ")[1] in refused.stderr


def test_t9_a_broken_command_is_stopped(pairs: Path) -> None:
    ended = lse_bench_here(*command(pairs, '{python} -c "import nowhere" {{output}}'))
    assert ended.returncode == 2 and "the first 5 jobs failed alike, so the other 3 were not tried" in ended.stderr
    assert "No module named 'nowhere'" in ended.stderr
    assert len(read_rows(pairs.with_name("videos"))) == 5


def test_t7_offline_reaches_every_weight(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LSE_BENCH_OFFLINE", raising=False)
    monkeypatch.setenv("LSE_BENCH_WEIGHTS", str(tmp_path / "weights"))
    generate = ["generate", "speech2vid", "--weights", "speech2vid-mini", "--set", "deblur=speech2vid_v114",
                "--manifest", pairs, "--boxes", tmp_path, "--out", tmp_path / "out", "--offline"]  # fmt: skip
    ended = lse_bench_here(*generate)
    assert ended.returncode == 2 and "--offline forbids fetching it" in ended.stderr, ended.stderr


def test_t11_one_speaker_has_a_reason_and_a_way_out(corpus: Path, tmp_path: Path) -> None:
    build = ["manifest", "build", corpus, "--rule", "other-speaker", "--pairs", 99, "--out", tmp_path / "m.json"]
    ended = lse_bench_here(*build)
    assert ended.returncode == 2 and "takes them all" in ended.stderr, ended.stderr


def test_t12_a_resumed_run_names_what_differs(prepared_clips: Path, tmp_path: Path) -> None:
    config = tmp_path / "expert-small.toml"
    packaged = files("lse_bench.baselines.wav2lip").joinpath("configs", "expert-mini.toml").read_text()
    config.write_text(re.sub(r"(?m)^(clips|windows) = 8", r"\1 = 2", packaged))
    train = ["train", "expert", "--config", config, "--data", prepared_clips / "box", "--out", tmp_path / "out",
             "--loaders", 0]  # fmt: skip
    empty = lse_bench_here(*train, "--steps", 1, "--resume")
    assert empty.returncode == 2 and "holds no training run to resume; leave out --resume" in empty.stderr
    assert lse_bench_here(*train, "--steps", 1).returncode == 0
    ended = lse_bench_here(*train, "--steps", 2, "--resume")
    assert ended.returncode == 2 and "holds a training run with another config steps (1, now 2)" in ended.stderr, (
        ended.stderr
    )
