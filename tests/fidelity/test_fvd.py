"""FVD: I3D's padding and names, pieces of clips, and the distance against its formula written out."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import numpy as np
import pytest
import safetensors.torch
import scipy.linalg
import torch
from commands import lse_bench_here
from fidelity.made_up import features
from torch.nn import functional as F

from lse_bench.errors import WeightsError
from lse_bench.execution.interface import Task
from lse_bench.fidelity.fid import FrameSet
from lse_bench.fidelity.frechet import Statistics
from lse_bench.fidelity.fvd import PieceReader, compare_videos
from lse_bench.fidelity.i3d import I3d, I3dNetwork, _same
from lse_bench.fidelity.sources import FrameCount, Item
from lse_bench.manifests.clips import find_clips
from lse_bench.measures.fidelity import Fvd
from lse_bench.media.probe import probe
from lse_bench.media.video import read_frames
from lse_bench.runs.measured import Measures
from lse_bench.runs.run import score_run
from lse_bench.runs.set_values import read_sets
from lse_bench.sync.scorer import SyncScorer


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights under which activations neither vanish nor explode, in the order of the network."""
    torch.manual_seed(0)
    found = I3dNetwork().state_dict()
    for name, value in found.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("weight") and value.ndim == 5:
            value.normal_(0, (2 / value[0].numel()) ** 0.5)
    return found


@pytest.fixture(scope="module")
def network(state: dict[str, torch.Tensor]) -> I3d:
    return I3d(state)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "front", "behind"),
    [(224, 7, 2, 2, 3), (7, 7, 2, 3, 3), (6, 3, 2, 0, 1), (5, 3, 2, 1, 1), (5, 3, 1, 1, 1), (8, 2, 2, 0, 0)],
)
def test_padding_is_tensorflows(size: int, kernel: int, stride: int, front: int, behind: int) -> None:
    ones = torch.ones(1, 1, 1, 1, size)
    padded = _same(ones, (1, 1, kernel), (1, 1, stride))
    assert padded.flatten().tolist() == [0] * front + [1] * size + [0] * behind
    assert F.max_pool3d(padded, (1, 1, kernel), (1, 1, stride)).shape[-1] == -(-size // stride)


def test_a_first_layer_by_hand(state: dict[str, torch.Tensor]) -> None:
    """The first unit at one place: the sum of products over 7 x 7 x 7, normalised, without what is below 0."""
    video = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 16, 20, 20))).float()
    found = I3dNetwork()
    found.load_state_dict(state)
    first = found.eval()[0]
    with torch.no_grad():
        given = first(video)[0, 5, 3, 4, 4]
    part = video[0, :, 6 - 2 : 6 + 5, 8 - 2 : 8 + 5, 8 - 2 : 8 + 5].double()
    summed = (part * state["0.conv.weight"][5].double()).sum()
    spread = (state["0.bn.running_var"][5].double() + 1e-3).sqrt()
    wanted = (summed - state["0.bn.running_mean"][5]) / spread * state["0.bn.weight"][5] + state["0.bn.bias"][5]
    assert float(given) == pytest.approx(max(0.0, float(wanted)), rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_names_of_known_files_do_not_matter(state: dict[str, torch.Tensor], network: I3d) -> None:
    """Some files list the last layer first, and all have names of their own."""
    entries = [*list(state.items())[-2:], *list(state.items())[:-2]]
    renamed = {
        ("logits.conv3d" if number < 2 else f"layer{number:03}") + "." + name.rsplit(".", 1)[1]: value
        for number, (name, value) in enumerate(entries)
    }
    piece = np.random.default_rng(1).integers(0, 256, (16, 40, 30, 3), dtype=np.uint8)
    assert np.array_equal(I3d(renamed).features(piece), network.features(piece))


def test_other_networks_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    flow = state | {"0.conv.weight": torch.zeros(64, 2, 7, 7, 7)}
    path = tmp_path / "flow.safetensors"
    safetensors.torch.save_file(flow, path)
    with pytest.raises(WeightsError, match=r"flow\.safetensors: .*not I3D for RGB .*\(64, 2, 7, 7, 7\) in place of"):
        I3d.load(path)
    with pytest.raises(WeightsError, match="no layer of 400 classes"):
        I3d({"fc.weight": torch.zeros(10, 3)})
    with pytest.raises(WeightsError, match="286 entries in place of 287"):
        I3d({name: value for name, value in state.items() if name != "0.bn.bias"})


@pytest.mark.slow
def test_a_clip_gives_a_feature_for_each_16_frames(network: I3d, tmp_path: Path) -> None:
    long = clips.write(tmp_path / "long.mp4", clips.even(40))
    short = clips.write(tmp_path / "short.mp4", clips.even(15))
    tasks = [Task(number, path.stem, Item(path.stem, path)) for number, path in enumerate((long, short))]
    (_, found), (_, none) = PieceReader(network).run(iter(tasks))
    frames = np.stack(list(read_frames(probe(long))))[..., ::-1].copy()
    wanted = [network.features(frames[:16]), network.features(frames[16:32])]
    assert np.array_equal(np.concatenate(found.parts), np.stack(wanted)) and found.failure is None
    assert none.parts == [] and none.failure == "too_short: 15 frames, and a feature needs 16"


def test_the_distance_is_the_formula() -> None:
    one, two = (features(900, 400, seed=seed, shift=shift).astype(np.float64) for seed, shift in ((1, 0.0), (2, 0.3)))
    sets = [FrameSet(Statistics.of(rows), [], None, FrameCount(), 9) for rows in (one, two)]
    result = compare_videos(*sets, "ab" * 32)
    covariances = [np.cov(rows, rowvar=False) for rows in (one, two)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    wanted = ((one.mean(0) - two.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * np.real(root))
    assert result.fvd == pytest.approx(wanted, rel=1e-8)
    assert result.fvd_id == "fvd@1:frame:16frames-apart:bilinear224:logits:abababab" and result.warnings == []


@pytest.mark.slow
@pytest.mark.command
def test_the_command(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    safetensors.torch.save_file(state, tmp_path / "i3d.safetensors")
    for folder, seed in (("ours", 1), ("theirs", 2)):
        (tmp_path / folder).mkdir()
        for name in ("a", "b", "c"):
            clips.write(tmp_path / folder / f"{name}.mp4", clips.even(17), seed=seed)
    (tmp_path / "ours" / "d.mp4").write_bytes(b"no video")
    given = ("fvd", tmp_path / "ours", tmp_path / "theirs", "--weights", tmp_path / "i3d.safetensors")
    done = lse_bench_here(*given, "--out", tmp_path / "fvd.json", "--groups", "3")
    assert done.returncode == 1 and "1 clips failed" in done.stderr and "FVD " in done.stderr
    stored = json.loads((tmp_path / "fvd.json").read_text())
    assert stored["fvd"] > 0 and stored["generated"]["pieces"] == 3 and list(stored["generated"]["failed"]) == ["d"]
    assert "covariance is singular" in stored["warnings"][0] and stored["versions"]["torch"]


class _MadeUp(Fvd):
    """With a file of weights that is not in the store."""

    def __init__(self, path: Path) -> None:
        self._path = path


def test_fvd_in_the_pass_is_the_fvd_of_the_command(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    weights, ours, originals = tmp_path / "i3d.safetensors", tmp_path / "ours", tmp_path / "originals"
    safetensors.torch.save_file(state, weights)
    for folder, seed in ((ours, 0), (originals, 5)):
        folder.mkdir()
        for n in range(2):
            clips.good(folder / f"c{n}.mp4", seconds=1.4, seed=seed + n)
    found = tmp_path / "fvd.json"
    words = ("fvd", ours, originals, "--weights", weights, "--device", "cpu", "--out", found)
    assert lse_bench_here(*words).returncode == 0
    scorer = SyncScorer.load("syncnet-mini", device="cpu")
    run = tmp_path / "run"
    summary = score_run(scorer, find_clips([ours]), run, measures=Measures([_MadeUp(weights)], originals))
    value, wanted = summary.metrics["fvd"], json.loads(found.read_text())
    assert value.mean == wanted["fvd"] and value.mean > 0 and value.n == 2 and value.ci95 is None
    assert read_sets(run).values["fvd"].warnings == wanted["warnings"]
