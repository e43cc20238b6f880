"""Training's loader and step, ours beside the original's form, in one run.

Loader: samples of Wav2Lip's generator from prepared clips, and as the original makes them: ten JPEG files read and
resized, the clip's sound read and its whole mel spectrogram computed, for every sample. Step: Wav2Lip+GAN at full width
with the released settings through our loop's step, and written out as the released script has it.

Run by `bootstrap.py bench`, or: python -m measurements.speed.training [--only loader|step] [--batch 4] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.io import wavfile
from torch.nn import functional as F

from lse_bench.baselines.wav2lip.losses import judged_as, sync_loss
from lse_bench.baselines.wav2lip.model import Expert, Generator, QualityDiscriminator, masked
from lse_bench.baselines.wav2lip.passes import GENERATOR, JUDGE, passes_of
from lse_bench.baselines.wav2lip.windows import WindowSamples, first_column, places
from lse_bench.features.mel import mel_spectrogram
from lse_bench.manifests.layouts import read_corpus
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Spec
from lse_bench.training.croppers import BoxCropper
from lse_bench.training.hardware import Hardware, launch
from lse_bench.training.prepare import Preparation, prepare
from lse_bench.training.prepared import PreparedClip, PreparedClips
from lse_bench.training.steps import set_up, take_step
from measurements.speed.figures import tell

SPEAKERS, CLIPS, FRAMES, SAMPLES = 4, 4, 150, 64
RELEASED_OFFSET, RELEASED_SYNC, RELEASED_QUALITY = -1, 0.03, 0.07
NATIVE = 112  # pixels of a stored JPEG face, about what crops of LRS2 measure


def seconds(work: Callable[[], object]) -> float:
    """How long it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(
    name: str, unit: str, amount: int, theirs: Callable[[], object], ours: Callable[[], object], rounds: int
) -> None:
    """Alternate both, print the medians and the median of the neighbouring ratios."""
    theirs(), ours()  # warm
    pairs = [(seconds(theirs), seconds(ours)) for _ in range(rounds)]
    first, second = (statistics.median(pair[side] for pair in pairs) for side in range(2))
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    tell("training", f"{name}, the original's form", amount / first, f"{unit} a second")
    tell("training", name, amount / second, f"{unit} a second")
    tell("training", f"{name}, ours / the original's form", ratio, "")


def bench_loader(rounds: int) -> None:
    """Samples per second from 6-second clips, one process each."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_corpus(Spec(speakers=SPEAKERS, clips=CLIPS, frames=FRAMES, split="train"), folder / "corpus", workers=2)
        _, clips = read_corpus(folder / "corpus")
        boxes = folder / "corpus" / "minilrs" / "truth" / "mvlrs_v1" / "main"
        prepare(clips, folder / "corpus", folder / "box", Preparation(BoxCropper(), "boxes", boxes=boxes))
        prepare(clips, folder / "corpus", folder / "raw", Preparation(BoxCropper(size=NATIVE), "boxes", boxes=boxes))
        store, native = PreparedClips(folder / "box"), PreparedClips(folder / "raw")
        jpegs = folder / "jpegs"
        for clip in native.clips:
            (jpegs / clip.id).mkdir(parents=True)
            for number, face in enumerate(native.read(clip, "faces")):
                cv2.imwrite(str(jpegs / clip.id / f"{number}.jpg"), face)
            wavfile.write(jpegs / clip.id / "audio.wav", 16000, native.read(clip, "sound"))
        samples = WindowSamples(store, RELEASED_OFFSET, 1)

        def ours() -> None:
            rng = np.random.default_rng(0)
            samples.of([store.clips[rng.integers(len(store.clips))] for _ in range(SAMPLES)], rng)

        def theirs() -> None:
            rng = np.random.default_rng(0)
            for _ in range(SAMPLES):
                original_sample(jpegs, store.clips[rng.integers(len(store.clips))], rng)

        compare("loader, 6-second clips", "samples", SAMPLES, theirs, ours, rounds)


def original_sample(jpegs: Path, clip: PreparedClip, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One sample as the released loader makes it."""
    target, other = (int(place) for place in rng.choice(np.array(places(clip, RELEASED_OFFSET)), 2, replace=False))
    windows = []
    for start in (target, other):
        pictures = [cv2.imread(str(jpegs / clip.id / f"{start + i}.jpg")) for i in range(5)]
        windows.append(np.stack([cv2.resize(picture, (96, 96)) for picture in pictures]) / 255.0)
    _, sound = wavfile.read(jpegs / clip.id / "audio.wav")
    mel = mel_spectrogram(sound).T
    starts = [first_column(target + i + RELEASED_OFFSET) for i in range(5)]
    heard = np.stack([mel[start : start + 16].T for start in starts])
    blanked = windows[0].copy()
    blanked[:, 48:] = 0
    faces = np.concatenate([blanked, windows[1]], axis=3).transpose(3, 0, 1, 2).astype(np.float32)
    return faces, windows[0].transpose(3, 0, 1, 2).astype(np.float32), heard[:, None], mel[starts[0] :][:16].T


def bench_step(batch: int, rounds: int) -> None:
    """Full-width Wav2Lip+GAN steps, expert in training mode, as released."""
    torch.manual_seed(0)
    target, reference = (torch.rand(batch, 3, 5, 96, 96) for _ in range(2))
    given = {"target": target, "reference": reference}
    given |= {"mels": torch.randn(batch, 5, 1, 80, 16), "mel": torch.randn(batch, 1, 80, 16)}

    def networks() -> tuple[Generator, QualityDiscriminator, Expert]:
        torch.manual_seed(1)
        return Generator(), QualityDiscriminator(), Expert().requires_grad_(False).train()

    generator, judge, expert = networks()
    first, second = (torch.optim.Adam(network.parameters(), 1e-4, (0.5, 0.999)) for network in (generator, judge))

    def theirs() -> None:
        first.zero_grad()
        second.zero_grad()
        drawn = generator(given["mels"], torch.cat([masked(target), reference], dim=1))
        sync, seen = sync_loss(expert, given["mel"], drawn), judged_as(judge(drawn), real=True)
        rest = 1 - RELEASED_SYNC - RELEASED_QUALITY
        loss = RELEASED_SYNC * sync + RELEASED_QUALITY * seen + rest * F.l1_loss(drawn, target)
        loss.backward()  # type: ignore[no-untyped-call]
        first.step()
        second.zero_grad()
        judged_as(judge(target), real=True).backward()  # type: ignore[no-untyped-call]
        judged_as(judge(drawn.detach()), real=False).backward()  # type: ignore[no-untyped-call]
        second.step()

    our_generator, our_judge, our_expert = (
        network.to(memory_format=torch.channels_last)
        for network in networks()  # type: ignore[call-overload]
    )
    fabric = launch(Hardware("cpu"))
    held = {GENERATOR: our_generator, JUDGE: our_judge}
    optimizers = {name: torch.optim.Adam(one.parameters(), 1e-4, (0.5, 0.999)) for name, one in held.items()}
    trained = set_up(fabric, held, optimizers)
    passes = passes_of(our_expert, RELEASED_SYNC, RELEASED_QUALITY)
    compare(
        f"Wav2Lip+GAN step, full width, batch {batch}",
        "steps",
        1,
        theirs,
        lambda: take_step(fabric, trained, passes, [given]),
        rounds,
    )


def main() -> None:
    """Both, or one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=("loader", "step"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.only != "loader":
        bench_step(chosen.batch, chosen.rounds)
    if chosen.only != "step":
        bench_loader(max(5, chosen.rounds))


if __name__ == "__main__":
    main()
