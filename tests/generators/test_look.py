"""Every video is looked at before it is called made, and a broken generator is stopped early."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import clips
import numpy as np
import pytest

from lse_bench.errors import ClipError, UsageError
from lse_bench.generators.builtin import Unsynced
from lse_bench.generators.call import Call, Policies, jobs_for
from lse_bench.generators.interface import Job, Options, VideoGenerator
from lse_bench.generators.run import generate_run
from lse_bench.manifests.generated import read_rows
from lse_bench.manifests.manifest import Manifest, job_of
from lse_bench.media.audio import Sound
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.media.writer import write_clip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, seconds, seed in (("long", 2.0, 0), ("other", 1.2, 2)):
        clips.write(folder / f"{name}.mp4", clips.even(round(25 * seconds)), chatter(seconds, seed), seed=seed)
    return folder


def chatter(seconds: float, seed: int) -> Sound:
    """As unlike another as two sentences are: noise in syllables."""
    noise = np.random.default_rng(seed).normal(0, 1, round(seconds * 16_000))
    smooth = np.convolve(noise, np.hanning(24), mode="same")
    return np.asarray(smooth * clips.speech(seconds, seed).std() / smooth.std(), dtype=np.int16)


def manifest(video: str, sound: str) -> Manifest:
    return Manifest(name="test", corpus="folder", jobs=(job_of(video, sound, f"{video}.mp4", f"{sound}.mp4"),))


def call(generator: VideoGenerator, jobs: Manifest, root: Path, out: Path) -> Call:
    return Call(generator, jobs_for(generator, jobs), root, out, None, Policies())


@pytest.mark.parametrize(
    ("line", "faults", "words"),
    [
        ("shutil.copyfile(video, output)", ("foreign_sound",), "foreign sound"),
        ("cut(video, sound, output, 0.4)", ("short_picture",), "picture of 0.40 s where 1.2"),
        ("quiet(video, sound, output)", ("foreign_sound",), "silent"),
        ("cut(video, sound, output, 1.2)", (), ""),
        ("cut(video, sound[2000:], output, 1.2)", (), "sound 0.125 s early"),
        ("cut(video, sound // 8, output, 1.2)", (), ""),
    ],
)
def test_what_was_made_is_looked_at(root: Path, tmp_path: Path, line: str, faults: tuple[str, ...], words: str) -> None:
    def cut(video: Path, sound: Sound, output: Path, seconds: float) -> None:
        frames = islice(read_frames(probe(video)), round(seconds * 25))
        write_clip(output, frames, sound)

    def quiet(video: Path, sound: Sound, output: Path) -> None:
        cut(video, np.zeros_like(sound), output, 1.2)

    class Careless(VideoGenerator):
        name = "careless"

        def generate(self, job: Job) -> Path:
            output = job.scratch / "made.mp4"
            known = {"video": job.video, "sound": job.samples(), "output": output, "cut": cut, "quiet": quiet}
            exec(line, {"shutil": shutil}, known)  # the parametrised line above
            return output

    done = generate_run(call(Careless(), manifest("long", "other"), root, tmp_path / "out"))
    (row,) = read_rows(tmp_path / "out")
    assert row.status == "ok" and row.look is not None and row.look.faults == faults
    assert done.looked == dict.fromkeys(faults, 1)
    assert any(words in told for told in row.warnings) if words else not row.warnings, row.warnings


def test_a_silent_job_is_looked_at_by_its_energy(root: Path, tmp_path: Path) -> None:
    clips.write(tmp_path / "mute.mp4", clips.even(30), np.zeros(19_200, np.int16))
    shutil.copyfile(root / "long.mp4", tmp_path / "long.mp4")
    generate_run(call(Unsynced(Options()), manifest("long", "mute"), tmp_path, tmp_path / "out"))
    (row,) = read_rows(tmp_path / "out")
    assert row.look is not None and row.look.correlation is None and not row.look.faults


def test_what_does_not_decode_was_not_made(root: Path, tmp_path: Path) -> None:
    class Liar(VideoGenerator):
        name = "liar"

        def generate(self, job: Job) -> Path:
            content = bytearray((root / "long.mp4").read_bytes())
            start = content.index(b"mdat") + 4
            stop = content.index(b"moov") - 4
            content[start:stop] = bytes(stop - start)
            path = job.scratch / "made.mp4"
            path.write_bytes(content)
            return path

    generate_run(call(Liar(), manifest("long", "other"), root, tmp_path / "out"))
    (row,) = read_rows(tmp_path / "out")
    assert row.status == "empty_output" and "cannot be decoded" in str(row.reason)
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_what_a_killed_command_left_is_removed_and_said(root: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", list[str]()
    wanted = call(Unsynced(Options()), manifest("long", "other"), root, out)
    generate_run(wanted)
    (out / ".scratch-abc").mkdir()
    (out / ".scratch-abc" / "audio.wav").touch()
    (out / ".x.mp4.partial").touch()
    generate_run(wanted, on_note=told.append)
    assert told == ["removed 2 incomplete files of a command that was killed"]
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_equal_failures_at_the_start_stop_a_generation(root: Path, tmp_path: Path) -> None:
    calls = []

    class Broken(VideoGenerator):
        name = "broken"

        def generate(self, job: Job) -> Path:
            calls.append(job.id)
            raise ClipError(job.video, "generator_failed", f"exit status 1: no module named x ({job.id}, {len(calls)})")

    jobs = [job_of(f"v{number}", f"s{number}", "long.mp4", "other.mp4") for number in range(14)]
    many = Manifest(name="test", corpus="folder", jobs=tuple(jobs))
    with pytest.raises(UsageError, match="the first 5 jobs failed alike, so the other 9 were not tried: exit status 1"):
        generate_run(call(Broken(), many, root, tmp_path / "out"))
    assert len(calls) == len(read_rows(tmp_path / "out")) == 5
    with pytest.raises(UsageError, match="the other 4 were not tried"):
        generate_run(call(Broken(), many, root, tmp_path / "out"))
    assert len(calls) == 10, "it goes on past what has failed"
    generate_run(call(Broken(), many, root, tmp_path / "out"))
    assert len(calls) == 14, "a handful is not worth a stop"
