"""Which precision a run trains in: named, kept, or the faster one; and what says so afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trainers import config_of

from lse_bench import precision
from lse_bench.baselines.wav2lip import expert
from lse_bench.errors import UsageError
from lse_bench.precision import choose_precision, seconds_of_convolution, widened
from lse_bench.reporting import Report
from lse_bench.training import run
from lse_bench.training.hardware import Hardware
from lse_bench.training.run import describe, train_prepared
from lse_bench.weights.readers import read_metadata

Times = Callable[[float, float], None]


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    """Sets what the probe finds: seconds in fp32 and in bf16."""

    def put(single: float, half: float) -> None:
        found = {"fp32": single, "bf16": half}
        monkeypatch.setattr(precision, "seconds_of_convolution", found.__getitem__)

    return put


def test_both_answers_of_the_probe(times: Times) -> None:
    times(0.008, 0.003)
    choice = choose_precision("cpu")
    assert choice.precision == "bf16"
    assert choice.reason == "a convolution takes 3.0 ms in bf16, 8.0 ms in fp32"
    times(0.003, 0.009)
    assert choose_precision("cpu").precision == "fp32"
    times(0.0100, 0.0095)  # not worth its narrowness
    assert choose_precision("cpu").precision == "fp32"


class Told(Report):
    """Keeps what is said."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def say(self, text: str) -> None:
        self._told.append(text)


def test_an_unknown_precision_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match="precision: Input should be 'auto', 'fp32', 'bf16' or 'fp16'"):
        config_of("expert", precision="fp64")


def test_several_processes_do_not_ask(times: Times) -> None:
    times(0.008, 0.003)
    assert choose_precision("cpu", processes=2).precision == "fp32"


@pytest.mark.parametrize(("supported", "wanted"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_is_asked_for_its_units(monkeypatch: pytest.MonkeyPatch, supported: bool, wanted: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported or including_emulation)
    assert choose_precision("cuda:0").precision == wanted


def test_the_probe_times_something() -> None:
    assert seconds_of_convolution("fp32") > 0
    assert seconds_of_convolution("bf16") > 0


def test_only_half_precision_is_widened() -> None:
    for given, wanted in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert widened(torch.ones(1, dtype=given)).dtype == wanted


@pytest.mark.slow
def test_a_run_keeps_its_precision_and_its_weights_name_it(prepared_clips: Path, times: Times, tmp_path: Path) -> None:
    told: list[str] = []

    def train(out: str, steps: int, named: str = "auto", resume: bool = False) -> None:
        config = config_of("expert", precision=named, steps=steps, save_every=1)
        data = prepared_clips / "box"
        make = lambda: expert.ExpertTraining(config, data)  # noqa: E731
        hardware = Hardware("cpu", loaders=0)
        train_prepared("expert", make, expert.export, config, hardware, tmp_path / out, data, {}, resume, Told(told))

    def recorded(out: str) -> tuple[str, str, str]:
        about = json.loads((tmp_path / out / "run.json").read_text())
        metadata = read_metadata(tmp_path / out / "weights.safetensors")
        return about["hardware"]["precision"], about["hardware"]["precision_reason"], metadata["precision"]

    times(0.008, 0.003)
    train("fast", 2)
    assert recorded("fast") == ("bf16", "a convolution takes 3.0 ms in bf16, 8.0 ms in fp32", "bf16")
    assert told == ["precision: bf16 (a convolution takes 3.0 ms in bf16, 8.0 ms in fp32)"]
    times(0.003, 0.009)
    train("fast", 2, resume=True)  # begun in bf16; the probe of this processor would say fp32
    assert recorded("fast")[0] == "bf16" and told[-1] == told[0]
    train("slow", 1)
    assert recorded("slow")[::2] == ("fp32", "fp32")
    train("named", 1, named="bf16")
    assert recorded("named") == ("bf16", "as the config or --precision says", "bf16")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"kind": "score", "schema": 2}', "holds a run of another command (score), not a training run"),
        ('{"kind": "train"}', "damaged, so the settings of this run are unknown"),
        ("[1]", "damaged"),
        ("half of a fi", "damaged"),
    ],
)
@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_another_run_is_refused_and_left_alone(
    prepared_clips: Path, tmp_path: Path, content: str, words: str, resume: bool
) -> None:
    (tmp_path / "run.json").write_text(content)
    config, data = config_of("expert", precision="fp32", steps=1), prepared_clips / "box"
    make = lambda: expert.ExpertTraining(config, data)  # noqa: E731
    with pytest.raises(UsageError, match=re.escape(words)):
        train_prepared(
            "expert", make, expert.export, config, Hardware("cpu", loaders=0), tmp_path, data, {}, resume, Report()
        )
    assert (tmp_path / "run.json").read_text() == content


def test_a_run_that_goes_on_elsewhere_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, about = config_of("expert"), {"data": {"digest": "d"}}
    describe(tmp_path, "expert", config, Hardware("cpu"), about, resume=False)
    begun = json.loads((tmp_path / "run.json").read_text())
    describe(tmp_path, "expert", config, Hardware("cpu"), about, resume=True)
    assert json.loads((tmp_path / "run.json").read_text()) == begun
    other = {"versions": begun["versions"], "machine": begun["machine"] | {"processor": "another"}}
    monkeypatch.setattr(run, "surroundings", lambda *more: other)
    describe(tmp_path, "expert", config, Hardware("cpu"), about, resume=True)
    assert json.loads((tmp_path / "run.json").read_text()) == begun | {"continued_with": [other]}
