"""Shared fixtures: golden files, checkpoints by formula, a narrow network for whole runs."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from trainers import prepared

from lse_bench import devices
from lse_bench.minilrs.corpus import make_corpus
from lse_bench.minilrs.plan import Part, Spec
from lse_bench.sync.syncnet import SyncNet
from lse_bench.weights.formula import formula_weights

# No test reaches the network or the user's own weights, nor do the commands it starts.
os.environ["LSE_BENCH_OFFLINE"] = "1"
os.environ["LSE_BENCH_WEIGHTS"] = str(Path(tempfile.gettempdir()) / "lse-bench-tests-have-no-weights")

# A shell starts what runs in its background with Ctrl-C ignored, and programs inherit that; here it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden" / "syncnet"
LATE = ("baselines", "bench", "demo", "leaderboard", "measurements", "training")
SPLITS: tuple[Part, ...] = ("train", "val", "test")
SHARED = TESTS.parents[1] / "shared"  # material that shows real people; a stranger does not have it

# Without the JPEG step: LSE-D, LSE-C, offset, windows, frames, samples (measured on the original).
WITHOUT_JPEG = {
    "a": (11.69193, 0.20056, 0, 70, 75, 48128),
    "b": (19.61592, 0.02490, 5, 70, 75, 48298),
    "c": (18.37223, 0.04859, 3, 70, 90, 48128),
    "d": (18.45983, 0.07602, 1, 50, 75, 35295),
}


_RESTORE = devices.switch()
for _restore in reversed(_RESTORE):
    _restore()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders whose tests take long come last, so that a plain fault shows early."""
    items.sort(key=lambda item: item.path.parent.name in LATE)


def pytest_collection_finish() -> None:
    """What the imports made stays to the end, and the garbage collector need not look at it again and again."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """Modules that count what is left at the end complain about nothing."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def exactness_ends_with_the_test() -> Iterator[None]:
    """A command that runs in this process, as trainers do here, switches torch for good; other tests start afresh.

    After the newer switches are set, torch cannot even read its older ones.
    """
    yield
    for restore in reversed(_RESTORE):
        restore()


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A file or folder that `make` makes, once for all processes of this test run."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    path, made = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock"):
        if not made.exists():
            make(path)
            made.touch()
    return path


def shared_file(*parts: str) -> Path:
    """A file of the shared folder; the test is skipped where there is none."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{parts[-1]} shows a real person and is not in the repository")
    return path


def golden_file(name: str) -> Path:
    """A golden file of SyncNet, from the repository or (clip a) from the shared folder."""
    path = GOLDEN / name
    return path if path.exists() else shared_file("golden", "syncnet", name)


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def calibrated_weights() -> dict[str, torch.Tensor]:
    """The state dict that the calibrated golden scores were made with."""
    entries = json.loads((GOLDEN / "syncnet_entries.json").read_text())
    state = formula_weights({name: tuple(shape) for name, shape in entries}, seed=0)
    for name in state:
        if name.startswith(("netfclip.3", "netfcaud.3")):
            state[name] = state[name] * np.float32(0.25)
    with np.load(GOLDEN / "calibrated_overrides.npz") as overrides:
        state |= {name: overrides[name] for name in overrides.files}
    return as_tensors(state)


@pytest.fixture(scope="session")
def calibrated_state() -> dict[str, torch.Tensor]:
    """`calibrated_weights` as a fixture."""
    return calibrated_weights()


@pytest.fixture(scope="session")
def calibrated(calibrated_state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The calibrated checkpoint as a file."""
    return once(tmp_path_factory, "calibrated.pth", lambda path: torch.save(calibrated_state, path))


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a narrow SyncNet: the same code paths in a fiftieth of the time."""
    network = SyncNet(widths_sound=(8, 16, 16, 16, 16, 32), widths_lip=(8, 16, 16, 16, 16, 32))
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    state = as_tensors(formula_weights(shapes, seed=1))
    return once(tmp_path_factory, "narrow.pth", lambda path: torch.save(state, path))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small MiniLRS in LRS2's layout: six speakers with two clips of 75 frames, two of them in val and test each."""

    def make(out: Path) -> None:
        folder = tmp_path_factory.mktemp("minilrs")
        for seed, split in enumerate(SPLITS):  # other seeds, other people
            make_corpus(Spec(speakers=2, clips=2, seed=seed, split=split, frames=75), folder / split, workers=1)
        join_lrs2([folder / split for split in SPLITS], out)

    return once(tmp_path_factory, "lrs2", make)


def join_lrs2(parts: list[Path], out: Path) -> Path:
    """Several LRS2-flavoured corpora with one split each as one."""
    for part in parts:
        shutil.copytree(part / "mvlrs_v1", out / "mvlrs_v1", dirs_exist_ok=True)
        shutil.copytree(part / "minilrs" / "truth", out / "minilrs" / "truth", dirs_exist_ok=True)
        for split in ("train", "val", "test"):
            with (out / f"{split}.txt").open("a") as file:
                file.write((part / f"{split}.txt").read_text())
    return out


@pytest.fixture(scope="session")
def prepared_clips(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus prepared for training: `box` and `aligned` crops."""
    return once(tmp_path_factory, "prepared", lambda path: prepared(corpus, path))


@pytest.fixture(scope="session")
def inception_state(inception_file: Path) -> dict[str, torch.Tensor]:
    """Formula weights under the names of pytorch-fid's Inception."""
    state: dict[str, torch.Tensor] = torch.load(inception_file, weights_only=True)
    return state


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a checkpoint file."""
    return once(tmp_path_factory, "inception.pth", lambda path: torch.save(inception_weights(), path))


def inception_weights() -> dict[str, torch.Tensor]:
    """See `inception_state`."""
    import torchvision
    from pytorch_fid import inception as theirs

    network = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    network.Mixed_7b, network.Mixed_7c = theirs.FIDInceptionE_1(1280), theirs.FIDInceptionE_2(2048)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    return as_tensors(formula_weights(shapes, seed=3))


@pytest.fixture(scope="session")
def tiny_bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished benchmark; not to be written to."""
    import tiny_bench as maker

    return once(tmp_path_factory, "tiny_bench", maker.make) / "out"
