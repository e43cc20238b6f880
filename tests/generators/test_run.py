"""Generation runs: one decode for many jobs, policies, resuming, whatever a generator may do wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import clips
import numpy as np
import pytest
from painter import Painter, call, manifest, rows_of

from lse_bench.errors import ClipError, UsageError
from lse_bench.faces.detectors import FaceDetector
from lse_bench.faces.face import Face
from lse_bench.generators import shared_source as sources
from lse_bench.generators.builtin import Command, Frozen, Real, Unsynced
from lse_bench.generators.call import jobs_for
from lse_bench.generators.interface import FaceCrop, Job, Options, VideoGenerator
from lse_bench.generators.registry import make_generator
from lse_bench.generators.run import generate_run
from lse_bench.manifests.clips import find_clips
from lse_bench.manifests.generated import Row, read_rows
from lse_bench.manifests.manifest import Job as Pair
from lse_bench.manifests.manifest import Manifest
from lse_bench.media.audio import Sound, read_sound
from lse_bench.media.probe import probe
from lse_bench.media.video import Frame, read_frames
from lse_bench.storage import open_lines
from lse_bench.weights.readers import file_digest


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    clips.good(folder / "long.mp4", 2.0)
    clips.good(folder / "short.mp4", 0.8, seed=1)
    clips.good(folder / "other.mp4", 1.2, seed=2)
    return folder


def test_many_jobs_of_a_source_decode_it_once(root: Path, tmp_path: Path) -> None:
    jobs = manifest(("long", "short"), ("long", "other"), ("other", "short"), ("long", "long"))
    done = generate_run(call(Painter(), jobs, root, tmp_path / "out"))
    assert (done.listed, done.made, done.videos, done.decodes) == (4, 4, 2, 2)
    for job in jobs.jobs:
        info = probe(tmp_path / "out" / f"{job.id}.mp4")
        sound = probe(root / job.sound)
        assert info.video is not None and info.sound is not None and sound.sound is not None
        heard = sum(len(block) for block in read_sound(sound))
        assert (info.video.width, info.video.height) == (112, 112)
        assert info.video.frames == min(heard // 640, 50 if job.video == "long.mp4" else 30)
        assert sum(len(block) for block in read_sound(info)) == pytest.approx(heard, abs=1100)
    alone = generate_run(call(Painter(), manifest(("long", "other")), root, tmp_path / "alone"))
    assert alone.made == 1
    names = {path.name for path in (tmp_path / "alone").glob("*.mp4")}
    assert all((tmp_path / "alone" / name).read_bytes() == (tmp_path / "out" / name).read_bytes() for name in names)


def test_only_the_box_changes(root: Path, tmp_path: Path) -> None:
    generate_run(call(Painter(), manifest(("long", "other")), root, tmp_path / "out"))
    made = list(read_frames(probe(tmp_path / "out" / "long+other.mp4")))
    plain = list(read_frames(probe(root / "long.mp4")))
    for ours, source in zip(made[5:10], plain[5:10], strict=True):
        changed = np.abs(ours.astype(int) - source).mean(axis=2)
        assert changed[35:85, 25:75].mean() > 20 and changed[:24].mean() < 6 and changed[:, 86:].mean() < 6


def test_short_sources(root: Path, tmp_path: Path) -> None:
    jobs = manifest(("short", "long"), ("long", "short"))
    skipped = generate_run(call(Painter(), jobs, root, tmp_path / "skip"))
    assert skipped.made == 1 and skipped.reasons == {"short source": 1}
    reason = rows_of(tmp_path / "skip")["short+long"].reason
    assert reason is not None and "has 20 frames, but the sound needs 51" in reason
    for short, wanted in (("loop", 51), ("ping-pong", 51)):
        done = generate_run(call(Painter(), jobs, root, tmp_path / short, short=short))
        row = rows_of(tmp_path / short)["short+long"]
        assert done.made == 2 and row.frames == wanted and short in row.warnings[0]
    source = [frame[:24].mean() for frame in read_frames(probe(root / "short.mp4"))]
    for short, order in (("loop", [*range(20)] * 3), ("ping-pong", [*range(20), *range(18, 0, -1), *range(20)])):
        made = [frame[:24].mean() for frame in read_frames(probe(tmp_path / short / "short+long.mp4"))]
        off = np.array(made) - [source[number] for number in order[:51]]
        np.testing.assert_allclose(off, np.median(off), atol=1.5)  # encoding twice darkens a little; frames move by 20


def test_frames_without_a_face(root: Path, tmp_path: Path) -> None:
    seen = 0

    def detect(frames: list[Frame]) -> list[list[Face]]:
        nonlocal seen
        found = []
        for _ in frames:
            found.append([] if seen == 12 else [Face(np.array([20.0, 30, 80, 90]), 1.0)])
            seen += 1
        return found

    blinking = FaceDetector("blinking", "blinking", "0" * 64, detect)  # type: ignore[arg-type]
    jobs = manifest(("long", "other"), ("long", "short"))
    done = generate_run(call(Painter(), jobs, root, tmp_path / "skip", blinking))
    assert done.failed == {"no_face": 2} and not list((tmp_path / "skip").glob("*.mp4"))
    seen = 0
    done = generate_run(call(Painter(), jobs, root, tmp_path / "keep", blinking, faceless="keep-frame"))
    assert done.made == 2
    assert rows_of(tmp_path / "keep")["long+other"].warnings == ["1 of 30 frames have no face and were kept unchanged"]
    made, plain = (list(read_frames(probe(path))) for path in (tmp_path / "keep/long+other.mp4", root / "long.mp4"))
    apart = [np.abs(made[n][35:85, 25:75].astype(int) - plain[n][35:85, 25:75]).mean() for n in (11, 12, 13)]
    assert apart[1] < 3 < min(apart[0], apart[2])


def test_a_generation_goes_on_and_refuses_another(root: Path, tmp_path: Path) -> None:
    class Failing(Painter):
        def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
            if len(sound) < 16000:
                raise ValueError("no patience")
            return super().generate(faces, sound, seed)

    jobs = manifest(("long", "other"), ("long", "short"))
    first = generate_run(call(Failing(), jobs, root, tmp_path / "out"))
    assert first.made == 1 and rows_of(tmp_path / "out")["long+short"].reason == "ValueError: no patience"
    stamp = (tmp_path / "out" / "long+other.mp4").stat().st_mtime_ns
    again = generate_run(call(Failing(), jobs, root, tmp_path / "out"))
    assert again.made == 1 and again.decodes == 1
    mended = generate_run(call(Painter(), jobs, root, tmp_path / "out"), retry_failed=True)
    assert mended.made == 2 and (tmp_path / "out" / "long+other.mp4").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match=r"another paste \(overwrite, now feather\)"):
        generate_run(call(Painter(), jobs, root, tmp_path / "out", paste="feather"))
    with pytest.raises(UsageError, match="another manifest_sha256"):
        generate_run(call(Painter(), manifest(("long", "other")), root, tmp_path / "out"))
    (tmp_path / "out" / "long+other.mp4").unlink()
    once_more = generate_run(call(Painter(), jobs, root, tmp_path / "out"))  # makes what is gone
    assert once_more.made == 2 and (tmp_path / "out" / "long+other.mp4").exists()
    with pytest.raises(UsageError, match="another root"):
        generate_run(call(Painter(), jobs, tmp_path, tmp_path / "out"))
    with open_lines(tmp_path / "out" / "generation.jsonl"), pytest.raises(UsageError, match="another process"):
        generate_run(call(Painter(), jobs, root, tmp_path / "out"), retry_failed=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="already holds something"):
        generate_run(call(Painter(), jobs, root, tmp_path / "mine"))


def test_a_failing_source_fails_every_job(root: Path, tmp_path: Path) -> None:
    """Not only the job that asked for the frame; and what a damaged file lacks is not passed over."""
    seen = 0

    def detect(frames: Sequence[Frame]) -> list[list[Face]]:
        nonlocal seen
        seen += len(frames)
        if seen > 8:
            raise RuntimeError("out of patience")
        return [[Face(np.array([20.0, 30, 80, 90]), 1.0)] for _ in frames]

    jobs = manifest(("long", "other"), ("long", "short"), ("long", "long"))
    done = generate_run(call(Painter(), jobs, root, tmp_path / "out", FaceDetector("moody", "moody", "0" * 64, detect)))
    assert done.failed == {"generator_failed": 3}
    assert {row.reason for row in read_rows(tmp_path / "out")} == {"RuntimeError: out of patience"}
    promised = probe(root / "long.mp4").video
    assert promised is not None and promised.frames == 50
    few = call(Painter(), manifest(("long", "other")), root, tmp_path / "few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "read_frames", lambda info, rate: islice(read_frames(info, rate), 20))
        generate_run(few)
    (row,) = read_rows(tmp_path / "few")
    assert row.status == "generator_failed" and "has 20 frames, but the sound needs 30" in str(row.reason)


def test_faces_cannot_be_drawn_on(root: Path, tmp_path: Path) -> None:
    """Other jobs see the same frame."""

    class Careless(Painter):
        def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
            for face in faces:
                face.pixels[:] = 0
                yield face

    generate_run(call(Careless(), manifest(("long", "other")), root, tmp_path / "out"))
    (row,) = read_rows(tmp_path / "out")
    assert row.status == "generator_failed" and "read-only" in str(row.reason)


def test_settings_are_part_of_the_key(root: Path, tmp_path: Path) -> None:
    jobs = manifest(("long", "other"))
    first = call(Painter(), jobs, root, tmp_path / "out")
    generate_run(first)
    for options, words in (
        (Options(settings={"level": "3"}), "another settings"),
        (Options(legacy=True), "another legacy"),
    ):
        with pytest.raises(UsageError, match=words):
            generate_run(replace(first, options=options))

    class Strange(Painter):
        def description(self) -> dict[str, object]:
            return {"path": root}

    with pytest.raises(UsageError, match="cannot be serialised to JSON"):
        generate_run(call(Strange(), jobs, root, tmp_path / "strange"))
    assert not (tmp_path / "strange").exists()


def test_ping_pong_holds_only_what_it_needs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_HELD", 300_000)  # eight frames
    generate_run(
        call(Painter(), manifest(("long", "other"), ("short", "long")), root, tmp_path / "out", short="ping-pong")
    )
    rows = rows_of(tmp_path / "out")
    assert rows["long+other"].status == "ok"
    assert "holds the whole source in memory" in str(rows["short+long"].reason)


def test_real_of_recordings_with_several_clips(root: Path, tmp_path: Path) -> None:
    jobs = tuple(
        Pair(id=f"{name}-{n}", video=f"{name}.mp4", sound="short.mp4", groups={"video": "recording"})
        for n, name in enumerate(("long", "other", "long"))
    )
    whole = Manifest(name="test", corpus="folder", jobs=jobs)
    assert [job.id for job in jobs_for(Real(Options()), whole).jobs] == ["long", "other"]
    assert generate_run(call(Real(Options()), whole, root, tmp_path / "out")).made == 2


def test_a_stopped_generation_is_listed_whole(root: Path, tmp_path: Path) -> None:
    jobs = manifest(("long", "other"), ("other", "short"), ("short", "long"))

    def stop(row: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_run(call(Painter(), jobs, root, tmp_path / "out"), stop)
    listed = {clip.id: clip for clip in find_clips([tmp_path / "out"])}
    assert set(listed) == {job.id for job in jobs.jobs}
    assert listed["long+other"].absent is None and listed["long+other"].groups["sound"] == "other"
    assert listed["other+short"].absent == ("generator_failed", "not generated yet: the generation was stopped")
    assert not list((tmp_path / "out").glob("*.partial")) and not list((tmp_path / "out").glob(".scratch*"))
    done = generate_run(call(Painter(), jobs, root, tmp_path / "out"))
    assert done.made == 2
    absent = next(clip.absent for clip in find_clips([tmp_path / "out"]) if clip.id == "short+long")
    assert absent is not None and absent.status == "generator_failed" and "short source" in absent.reason


def test_unreadable_sources_and_sounds(root: Path, tmp_path: Path) -> None:
    for name in ("long.mp4", "other.mp4"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all")
    clips.write(tmp_path / "dumb.mp4", clips.even(50))
    jobs = manifest(("broken", "other"), ("long", "broken"), ("long", "dumb"), ("dumb", "other"))
    generate_run(call(Painter(), jobs, tmp_path, tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    assert {name: row.status for name, row in rows.items()} == {
        "broken+other": "unreadable",
        "long+broken": "unreadable",
        "long+dumb": "no_audio",
        "dumb+other": "ok",
    }
    assert "the sound broken.mp4" in str(rows["long+broken"].reason)


def test_noise_in_digital_silence(root: Path, tmp_path: Path) -> None:
    sound = clips.speech(1.2)
    sound[4000:8000] = 0
    clips.write(tmp_path / "quiet.mp4", clips.even(30), sound)
    (tmp_path / "long.mp4").write_bytes((root / "long.mp4").read_bytes())
    heard: list[Sound] = []

    class Listener(Painter):
        def generate(self, faces: Iterator[FaceCrop], sound: Sound, seed: int) -> Iterator[FaceCrop]:
            heard.append(sound)
            return super().generate(faces, sound, seed)

    generate_run(call(Listener(), manifest(("long", "quiet")), tmp_path, tmp_path / "out", nan_sound="noise"))
    assert not (heard[0] == 0).any()
    assert "silent samples were replaced by noise" in rows_of(tmp_path / "out")["long+quiet"].warnings[0]


def test_real_and_unsynced(root: Path, tmp_path: Path) -> None:
    jobs = manifest(("long", "other"), ("long", "short"), ("other", "long"))
    done = generate_run(call(Real(Options()), jobs, root, tmp_path / "real"))
    assert done.listed == done.made == 2  # one row per distinct video
    assert (tmp_path / "real" / "long.mp4").read_bytes() == (root / "long.mp4").read_bytes()
    assert all("sound" not in clip.groups for clip in find_clips([tmp_path / "real"]))
    done = generate_run(call(Unsynced(Options()), jobs, root, tmp_path / "unsynced"))
    assert done.made == 3
    for ours, source in zip(
        read_frames(probe(tmp_path / "unsynced/long+other.mp4")), read_frames(probe(root / "long.mp4")), strict=True
    ):
        assert np.array_equal(ours, source)  # copied, not encoded again


def test_frozen_is_one_picture_with_the_jobs_sound(root: Path, tmp_path: Path) -> None:
    done = generate_run(call(Frozen(Options()), manifest(("long", "other")), root, tmp_path / "frozen"))
    assert done.made == 1
    made = probe(tmp_path / "frozen" / "long+other.mp4")
    shown = list(read_frames(made))
    source = list(read_frames(probe(root / "long.mp4")))
    assert len(shown) == len(source) and not np.array_equal(source[0], source[-1])
    assert max(np.abs(frame.astype(int) - source[0]).mean() for frame in shown) < 3  # encoded once more
    assert all(np.abs(frame.astype(int) - shown[0]).mean() < 1 for frame in shown)
    own, other = (np.concatenate(list(read_sound(probe(root / f"{name}.mp4")))) for name in ("long", "other"))
    heard = np.concatenate(list(read_sound(made)))
    count = min(map(len, (heard, own, other)))
    near, far = (np.corrcoef(heard[:count], sound[:count])[0, 1] for sound in (other, own))
    assert near > 0.9 > far


class Odd(VideoGenerator):
    """Frames for one source, a file without sound for another, rubbish for the third."""

    name = "odd"

    def generate(self, job: Job) -> Iterator[Frame] | Path:
        if job.video.stem == "long":
            return (255 - frame for frame in job.frames())
        path = job.scratch / "made.mp4"
        if job.video.stem == "other":
            return clips.write(path, clips.even(30))
        if job.sound.stem == "other":
            raise ClipError(job.video, "generator_failed", "cannot")
        path.write_bytes(b"rubbish")
        return path


def test_frames_files_and_rubbish(root: Path, tmp_path: Path) -> None:
    jobs = manifest(("long", "other"), ("other", "short"), ("short", "long"), ("short", "other"))
    generate_run(call(Odd(), jobs, root, tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    assert rows["long+other"].frames == 50
    assert rows["other+short"].warnings == ["the generator's video has no sound; the job's sound was added"]
    assert probe(tmp_path / "out" / "other+short.mp4").sound is not None
    assert rows["short+long"].status == "empty_output" and "made.mp4" in str(rows["short+long"].reason)
    assert rows["short+other"].reason == "cannot"


_PROGRAM = """
import shutil, sys, time
from pathlib import Path
video, audio, output = sys.argv[1:4]
assert Path(audio).read_bytes()[:4] == b"RIFF"
print("working on", Path(video).name)
if "short" in video:
    sys.exit("cannot work on a short one")
if "other" in video:
    while "hang" in sys.argv:
        time.sleep(60)
    sys.exit(0)
target = Path(output).with_name("elsewhere.mp4")
shutil.copyfile(video, target)
Path(output).symlink_to(target)
"""


def test_command(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "a program.py"
    program.write_text(_PROGRAM)
    line = f"{sys.executable} '{program}' {{video}} {{audio}} {{output}}"
    jobs = manifest(("long", "other"), ("short", "long"), ("other", "short"))
    command = Command(Options(settings={"command": line}))
    generate_run(call(command, jobs, root, tmp_path / "out"))
    rows = rows_of(tmp_path / "out")
    assert rows["long+other"].frames == 50 and not (tmp_path / "out" / "long+other.mp4").is_symlink()
    assert rows["short+long"].status == "generator_failed"
    assert "exit status 1" in str(rows["short+long"].reason) and "cannot work on a short one" in str(
        rows["short+long"].reason
    )
    assert rows["other+short"].status == "empty_output" and "working on other.mp4" in str(rows["other+short"].reason)
    slow = Command(Options(settings={"command": f"{line} hang", "timeout": "0.5"}))
    generate_run(call(slow, manifest(("other", "short")), root, tmp_path / "slow"))
    assert "ran longer than 0.5 s and was stopped" in str(rows_of(tmp_path / "slow")["other+short"].reason)
    digest = file_digest(program)
    files = {sys.executable: file_digest(Path(sys.executable)), str(program): digest}
    described = json.loads((tmp_path / "out" / "generation.json").read_text())["key"]["description"]
    assert described == {"command": line, "files": files}
    program.write_text(_PROGRAM + "# another program\n")
    changed = Command(Options(settings={"command": line}))
    with pytest.raises(UsageError, match=f"another description files .*a program.py .{digest}, now") as refused:
        generate_run(call(changed, jobs, root, tmp_path / "out"))
    assert "choose another --out" in str(refused.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "a command line with {output}"),
        ("python x.py {video}", "a command line with {output}"),
        ("python x.py {output} {face}", "the names in braces are"),
        ("python x.py '{output}", "No closing quotation"),
    ],
)
def test_wrong_command_lines(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Command(Options(settings={"command": line}))


def test_settings_that_a_generator_does_not_have() -> None:
    with pytest.raises(UsageError, match="real has no setting speed"):
        make_generator("real", Options(settings={"speed": "3"}))


def test_a_command_that_is_not_there(root: Path, tmp_path: Path) -> None:
    command = Command(Options(settings={"command": "no-such-program {output}"}))
    with pytest.raises(UsageError, match="no-such-program cannot be started"):
        generate_run(call(command, manifest(("long", "other")), root, tmp_path / "out"))
