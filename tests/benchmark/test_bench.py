"""Benchmarks: plan, order, reuse, failures, kills, and the page that comes of one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_bench
from commands import lse_bench_here
from conftest import once

from lse_bench.benchmark.config import config_of
from lse_bench.benchmark.endings import finished, read_steps
from lse_bench.benchmark.plan import steps_of
from lse_bench.benchmark.presets import preset_text
from lse_bench.benchmark.run import run_bench
from lse_bench.benchmark.steps import Step
from lse_bench.benchmark.summary import BenchmarkSummary
from lse_bench.errors import UsageError, WeightsError
from lse_bench.leaderboard.published import beside_published, figure, published
from lse_bench.runs.schema import MetricSummary
from lse_bench.tables.table import Table, TableRow, tables_of
from lse_bench.tasks.declared import GenerateOptions
from lse_bench.tasks.options import read_options

COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"


@pytest.fixture(scope="module")
def bench_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("bench"))


def written(folder: Path) -> Path:
    """The file of a benchmark in `folder`, and its method's program."""
    (folder / "copy.py").write_text(COPY)
    path = folder / "bench.toml"
    path.write_text(tiny_bench.config("copy", folder / "copy.py", "{video} {output}"))
    return path


def test_measures_that_need_originals_get_the_real_videos(bench_file: Path, tmp_path: Path) -> None:
    text = bench_file.read_text()
    for measures, needed in (("", False), ('measures = "loudness"', False), ('measures = "loudness,psnr"', True)):
        config = config_of(text.replace("keep_windows = true", measures), bench_file)
        steps = steps_of(config, bench_file.parent, tmp_path)
        (real,) = (step for step in steps if step.kind == "generate" and step.method == "real")
        scores = [step for step in steps if step.kind == "score"]
        assert len(scores) == 3 and all((real in step.inputs[1:]) == needed for step in scores)
        assert all(("--originals" in step.command) == needed for step in scores)
        assert not needed or str(real.out) in scores[-1].command


def kill_at(step: str, command: Sequence[str]) -> None:
    """Start a benchmark and kill it, and what it has started, when it says that it begins a step."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(step):
                process.kill()
                process.stderr.read()  # ends when all that it has started have ended
                return
        raise AssertionError(f"no step {step}")


@pytest.fixture(scope="module")
def killed_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark, whose file lies beside it."""

    def make(folder: Path) -> None:
        folder.mkdir()
        command = [sys.executable, "-m", "lse_bench", "benchmark", str(written(folder)), "--out", str(folder / "out")]
        kill_at("3/11", command)
        kill_at("8/11", command)
        ended = lse_bench_here(*command[3:])
        assert ended.returncode == 0, ended.stderr

    return once(tmp_path_factory, "killed_twice", make) / "out"


@pytest.mark.command
def test_killed_twice_it_ends_with_the_same_summary(killed_twice: Path, tmp_path: Path) -> None:
    whole = lse_bench_here("benchmark", killed_twice.with_name("bench.toml"), "--out", tmp_path / "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    summary = json.loads((killed_twice / "summary.json").read_text())
    assert json.loads(whole.stdout) == summary
    (table,) = summary["tables"]
    rows = {row["method"]: row for row in table["rows"]}
    assert list(rows) == ["real", "unsynced", "copy"]
    assert rows["copy"]["metrics"]["lse_c"]["mean"] > rows["unsynced"]["metrics"]["lse_c"]["mean"]
    assert rows["copy"]["scored"] == rows["copy"]["listed"] == 4
    assert abs(rows["copy"]["fd_sync"]) < 1e-2
    page = killed_twice.with_name("page")
    built = lse_bench_here("leaderboard", "build", killed_twice, "--out", page)
    assert built.returncode == 0, built.stderr
    assert "copy" in (page / "data.js").read_text() and len(list((page / "clips").rglob("*.mp4"))) >= 9
    ended = read_steps(killed_twice)
    assert len(ended) == 11 and not any(one.status for one in ended.values())


def test_weights_are_named_and_fetched_before_the_first_clip(
    bench_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSE_BENCH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv("LSE_BENCH_OFFLINE", raising=False)
    other = tmp_path / "bench.toml"
    text = bench_file.read_text()
    assert '[fd_sync]\nweights = "syncnet-mini"\n' in text
    other.write_text(text.replace('[fd_sync]\nweights = "syncnet-mini"\n', "[fid]\n[fd_sync]\n"))
    plan = json.loads(lse_bench_here("benchmark", other, "--out", tmp_path / "out", "--dry-run", "--json").stdout)
    assert plan["fetched_first"] == ["inception"], "fd-sync listens with the protocol's own weights"
    asked: list[str] = []

    def refuse(report: object, name: str, offline: bool, trust: bool) -> Path:
        asked.append(name)
        raise WeightsError(f"{name} could not be fetched")

    monkeypatch.setattr("lse_bench.reporting.Report.weights", refuse)
    ended = lse_bench_here("benchmark", other, "--out", tmp_path / "out")
    assert ended.returncode == 2 and "inception could not be fetched" in ended.stderr and asked == ["inception"]
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_current_folder_changes_no_digest(
    bench_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_of(bench_file.read_text(), bench_file)
    before = [step.digest for step in steps_of(config, bench_file.parent, tmp_path / "out")]
    for name in ("score", "generate", "command", "copy", "1", "5", "lrs-lossless@1", "minilrs", "manifest", "build"):
        (tmp_path / name).write_text("anything")
    assert [step.digest for step in steps_of(config, bench_file.parent, tmp_path / "out")] == before


def undone(bench: Path, out: Path) -> set[str]:
    """Kinds of the steps that a benchmark would still do."""
    plan = json.loads(lse_bench_here("benchmark", bench, "--out", out, "--dry-run", "--json").stdout)
    return {step["step"].split()[0] for step in plan["steps"] if not step["done"]}


@pytest.mark.command
def test_what_is_done_is_kept_and_only_what_changed_is_done_anew(killed_twice: Path) -> None:
    bench_file = killed_twice.with_name("bench.toml")
    assert undone(bench_file, killed_twice) == set()
    text = bench_file.read_text()
    other = bench_file.with_name("other.toml")
    other.write_text(text.replace("keep_windows = true", "keep_windows = false"))
    assert undone(other, killed_twice) == {"score"}
    other.write_text(text.replace("seed = 5", "seed = 6"))
    assert undone(other, killed_twice) == {"corpus", "manifest", "generate", "score", "fd-sync"}


@pytest.mark.command
def test_each_number_has_its_command_and_manifest_on_record(killed_twice: Path) -> None:
    run = next((killed_twice / "scores" / "mini" / "copy").glob("lrs-lossless@1-*"))
    about = json.loads((run / "run.json").read_text())
    assert about["command"][:2] == ["lse-bench", "score"] and "--keep-windows" in about["command"]
    manifest = json.loads(next((killed_twice / "manifests").glob("mini-*.json")).read_text())
    assert about["manifest_sha256"] == manifest["sha256"]
    assert about["generation"]["generator"] == "command"
    cited = lse_bench_here("cite", run).stdout
    assert "The Fréchet distance of SyncNet's lip embeddings is" in cited, "a cell is cited with what stands beside it"


def test_a_failed_step_stops_only_what_needs_it(bench_file: Path, tmp_path: Path) -> None:
    config = config_of(bench_file.read_text(), bench_file)
    steps = steps_of(config, bench_file.parent, tmp_path)
    without = config.model_copy(update={"fd_sync": None})
    fewer = steps_of(without, bench_file.parent, tmp_path)
    said: list[str] = []

    def run(step: Step) -> tuple[int, str | None]:
        if (step.kind, step.method) == ("generate", "copy"):
            return 2, "the program is not there"
        if step.kind == "score":
            shutil.copytree(Path(__file__).parents[1] / "golden" / "runs" / "schema-1", step.out)
        else:
            step.out.write_text('{"fd_sync": 1.0, "key": {}}')
        return 0, None

    summary = run_bench(config, steps, tmp_path, run, said.append)
    assert {row.method for row in summary.tables[0].rows} == {"real", "unsynced"}
    assert summary.failed["generate mini copy"] == "the program is not there"
    assert summary.failed["score mini copy lrs-lossless@1"] == "needs generate mini copy: the program is not there"
    again = run_bench(without, fewer, tmp_path, run)
    assert all(row.fd_sync is None for row in again.tables[0].rows)  # and none left from before
    ended = read_steps(tmp_path)
    assert [step.label for step in steps if not finished(step, ended)] == list(summary.failed)
    assert sum("left out" in text for text in said) == 2


def test_a_step_that_raises_is_that_steps_failure(bench_file: Path, tmp_path: Path) -> None:
    bad = bench_file.with_name("bad.toml")
    bad.write_text(bench_file.read_text().replace("pairs = 4", "pairs = 400"))
    ended = lse_bench_here("benchmark", bad, "--out", tmp_path / "out", "--json")
    assert ended.returncode == 1
    assert len(json.loads(ended.stdout)["failed"]) == 10
    assert "400" in json.loads(ended.stdout)["failed"]["manifest mini"]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name = \"tiny\"", "name = ", "not TOML"),
        ("[[protocols]]", "[[protocol]]", "protocols: Field required"),
        ("build = { pairs = 4, seed = 1 }", "", "a `file`, or is made"),
        ("generator = \"command\"", "generator = \"wav2lop\"", "Did you mean wav2lip"),
        ("keep_windows = true", "keep_window = true", "no option called keep_window. Did you mean keep_windows"),
        ("keep_windows = true", "precision = \"fp8\"", "protocols: precision: no choice called fp8. Did you mean fp32"),
        ("keep_windows = true", "shard = \"1/2\"", "protocols: no option called shard"),
        ("lrs-lossless@1", "lrs-losless@1", "no protocol called lrs-losless@1"),
        ("[fd_sync]", "[[protocols]]\nprotocol = \"lrs-lossless\"\n[fd_sync]", "two protocols are lrs-lossless@1"),
        ("weights = \"syncnet-mini\"\nkeep", "weights = \"syncnet_v2\"\nkeep", "forbids fetching"),
        ("weights = \"syncnet-mini\"\nkeep", "weights = \"gone.pth\"\nkeep", "gone.pth: neither a file nor weights"),
        ("minilrs = { speakers = 2, clips = 2, frames = 40, seed = 5, split = \"test\", style = \"plain\" }",
         "root = \"nowhere\"", "no folder .*nowhere"),
        ("name = \"copy\"", "name = \"real\"", "under these names"),
        ("frames = 40", "frames = -5", "corpus mini: --frames -5"),
        ("frames = 40", "frames = 40.5", "frames = 40.5: a whole number is needed"),
        ("frames = 40", "frames = true", "frames = True: a whole number is needed"),
        ("keep_windows = true", "keep_windows = \"on\"", "keep_windows = 'on': true or false is needed"),
        ("keep_windows = true", "overlay = \"seen\"", "so --overlay has no face tracks to draw. Use --protocol"),
        ("keep_windows = true", "tracker = \"matched\"", "Leave out --tracker, or use --protocol tracked"),
        ("keep_windows = true", "device = \"gpu\"", "score mini real lrs-lossless@1: .*gpu"),
        ("[fd_sync]", "[fd_sync]\nprotocol = \"nope\"", "fd-sync mini real: no protocol called nope"),
        ("options = {", "options = { pads = \"a\",", "generate mini copy: command makes whole videos"),
        ("options = {", "options = { set = [\"nope=1\"],", "command has no setting nope"),
        ("options = {", "options = { set = [\"command=false\"],", "are the same setting"),
        ("options = {", "options = { retry_failed = true,", "Use another --out to try them again"),
        ("options = {", "options = { set = [\"a\"],", "copy: --set a: a setting must have the form NAME=VALUE"),
        ("[fd_sync]", "[fd_sync]\nprotocol = \"tracked\"", "fd-sync mini real: fd-sync takes face crops"),
        ("[fd_sync]\nweights = \"syncnet-mini\"", "[fd_sync]\nweights = \"\"", "fd_sync: weights is empty"),
        ("options = {", "options = { timeout = nan,", "timeout = nan: the value must be at least 0.1"),
        ("name = \"copy\"\ngenerator = \"command\"\noptions = {", "name = \"copy\"\ngenerator = \"lipgan\"\n"
         "options = { weights = \"lipgan-mini\", pads = \"a\" } # {", "copy: --pads a: give four whole numbers"),
        ("name = \"copy\"\ngenerator = \"command\"\noptions = {", "name = \"copy\"\ngenerator = \"lipgan\"\n"
         "options = { weights = \"lipgan-mini\", detector = \"nope\" } # {", "no face detector called nope"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_the_first_clip(
    bench_file: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    import re

    text = bench_file.read_text()
    assert old in text
    bad = tmp_path / "bad.toml"
    bad.write_text(text.replace(old, new))
    ended = lse_bench_here("benchmark", bad, "--out", tmp_path / "out")
    assert ended.returncode == 2, ended.stderr
    assert re.search(message, ended.stderr), ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_command_line_whose_quotes_do_not_close_is_named(tmp_path: Path) -> None:
    for line, told in (("python 'infer.py", "close the quotes"), ("  ", "command is empty")):
        with pytest.raises(UsageError, match=told):
            read_options(GenerateOptions, {"command": line}, tmp_path, "m")
        with pytest.raises(UsageError, match=told):
            read_options(GenerateOptions, {"set": [f"command={line}"]}, tmp_path, "m")


def test_digests_cover_files_whatever_their_names(bench_file: Path, tmp_path: Path) -> None:
    def digest(name: str, content: bytes) -> str:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        method = f'[[methods]]\nname = "m"\ngenerator = "wav2lip"\noptions = {{ weights = "{name}" }}\n'
        steps = steps_of(config_of(f"{bench_file.read_text()}\n{method}", bench_file), tmp_path, tmp_path / "out")
        return next(step.digest for step in steps if step.method == "m" and step.kind == "generate")

    assert digest("lr=1e-4/m.pth", b"one") != digest("lr=1e-4/m.pth", b"two")
    assert digest("a/m.pth", b"one") == digest("b/m.pth", b"one")


def test_what_changes_no_result_changes_no_digest(bench_file: Path, tmp_path: Path) -> None:
    text = bench_file.read_text()

    def digests(text: str, folder: Path = bench_file.parent) -> dict[str, str]:
        steps = steps_of(config_of(text, bench_file), folder, tmp_path / "out")
        return {step.label: step.digest for step in steps}

    before = digests(text)
    neutral = "keep_windows = true\nworkers = 2\nbatch_size = 7\noffline = true"
    assert digests(text.replace("keep_windows = true", neutral)) == before
    # A program by its name in the file's folder is the one by its whole path, wherever the command is started.
    assert digests(text.replace(f"{bench_file.parent}/copy.py", "copy.py")) == before
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    (boxes / "a.json").write_text("[]")
    located = text.replace("keep_windows = true", f'keep_windows = true\nboxes = "{boxes}"')
    one = digests(located)
    (boxes / "a.json").write_text("[[]]")
    assert one["score mini real lrs-lossless@1"] != digests(located)["score mini real lrs-lossless@1"]


def test_the_program_behind_a_command_is_part_of_its_digest(bench_file: Path, tmp_path: Path) -> None:
    program = bench_file.with_name("copy.py")
    config = config_of(bench_file.read_text(), bench_file)

    def digest() -> str:
        steps = steps_of(config, bench_file.parent, tmp_path)
        return next(step.digest for step in steps if step.label == "generate mini copy")

    before = digest()
    program.write_text(COPY + "\n")
    changed = digest()
    program.write_text(COPY)
    assert before == digest() != changed


def test_run_wants_one_thing_to_do(bench_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file" in lse_bench_here("benchmark", bench_file, "--out", tmp_path / "file").stderr
    saved = ("--preset", "wav2lip-paper", "--lrs2", tmp_path, "--save", tmp_path / "none" / "b.toml")
    assert "its folder does not exist" in lse_bench_here("benchmark", *saved).stderr
    assert lse_bench_here("benchmark").returncode == 2
    assert lse_bench_here("benchmark", bench_file, "--lrs2", tmp_path).returncode == 2
    assert "needs a corpus" in lse_bench_here("benchmark", "--preset", "wav2lip-paper").stderr
    assert "no preset called wav2lip" in lse_bench_here("benchmark", "--preset", "wav2lip", "--lrs2", tmp_path).stderr


def test_the_preset_asks_for_all_that_is_missing_at_once(tmp_path: Path) -> None:
    (tmp_path / "LRS2").mkdir()
    (tmp_path / "lrs2.txt").write_text("a/1 b/2\n")
    roots = ("--lrs2", tmp_path / "LRS2", "--lrw", tmp_path / "none")
    ended = lse_bench_here("benchmark", "--preset", "wav2lip-paper", *roots, "--out", tmp_path / "out")
    for wanted in ("wav2lip.pth", "wav2lip_gan.pth", "syncnet_v2", "s3fd", "inception", "no folder", "agreement"):
        assert wanted in ended.stderr, wanted
    assert ended.returncode == 2


def test_published_figures_have_a_source() -> None:
    assert all(one.source and one.corpus and one.method for one in published())
    assert figure("example.avi", "SyncNet", "lse_d") == 5.353
    with pytest.raises(KeyError):
        figure("LRS2", "Wav2Lip", "lse_d")  # the paper's and a re-run's
    with pytest.raises(UsageError, match="no preset"):
        preset_text("x", {}, None)


def test_missing_packages_are_found_before_the_first_clip(
    bench_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "bench.toml"
    other.write_text(bench_file.read_text() + "\n[fid]\n")
    monkeypatch.setattr("lse_bench.versions.find_spec", lambda name: None)
    ended = lse_bench_here("benchmark", other, "--out", tmp_path / "out")
    assert ended.returncode == 2 and "fid mini copy needs the package pytorch_fid" in " ".join(ended.stderr.split())


def test_ours_stand_beside_the_published() -> None:
    def table(corpus: str, *methods: str) -> Table:
        metrics = {
            name: MetricSummary(mean=mean, ci95=None, ci_method="none", n=1)
            for name, mean in (("lse_d", 7.0), ("lse_c", 6.5))
        }
        about = {"run": "r", "listed": 1, "scored": 1, "failed": {}, "offsets": {}, "seconds": {}}
        rows = [TableRow(method=name, metrics=metrics, rank={}, better_than_real={}, **about) for name in methods]
        scored_as = {"protocol": "lrs@1", "evaluator": "syncnet_v2", "key": {}, "manifest_sha256": None}
        return Table(corpus=corpus, rows=rows, **scored_as)  # type: ignore[arg-type]

    text = beside_published([table("LRS2", "Wav2Lip", "mine"), table("LRW", "Wav2Lip")])
    assert "| LRS2 | Wav2Lip | LSE-D | 6.386 | 7.15 | 7.000 | lrs@1, syncnet_v2 |" in text
    assert "| LRS2 | mine | LSE-D | – | – | 7.000 |" in text
    assert "| LRW | Wav2Lip | LSE-D | not transcribed | – | 7.000 |" in text
    assert "issue 445" in text


@pytest.mark.parametrize("columns", [100, 200])  # as Markdown, and drawn
def test_a_printed_table_cuts_no_name(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lse_bench.cli.benchmark import _print_tables
    from lse_bench.leaderboard.build import find_entries

    monkeypatch.setenv("COLUMNS", str(columns))
    results = Path(__file__).parents[2] / "leaderboard" / "results" / "miniature"
    _print_tables(BenchmarkSummary(tables=tables_of(find_entries([str(results)]))[:1]))
    text = capsys.readouterr().out
    assert "…" not in text and "Wav2Lip, L1 only" in text and "offset within 1" in text


@pytest.mark.slow
def test_the_published_comparison_runs_on_a_mock_of_lrs2(corpus: Path, tmp_path: Path) -> None:
    """The preset's file, with the narrow networks of this package in place of the released ones."""
    names = [line.split()[0] for line in (corpus / "test.txt").read_text().splitlines()]
    (tmp_path / "lrs2.txt").write_text(f"{names[0]} {names[2]}\n{names[3]} {names[1]}\n")
    saved = tmp_path / "bench.toml"
    options = ("--lrs2", corpus, "--lists", tmp_path, "--save", saved)
    assert lse_bench_here("benchmark", "--preset", "wav2lip-paper", *options).returncode == 0
    text = saved.read_text()
    for old, new in (
        ('"syncnet_v2"', '"syncnet-mini"'),
        ("[fid]\n", ""),
        ('corpus = "lrs2"', 'corpus = "lrs2", any_digest = true'),
        ('"wav2lip"\noptions = { legacy = true }', '"wav2lip"\noptions = { weights = "wav2lip-mini" }'),
        ('"wav2lip-gan"\noptions = { legacy = true }', '"wav2lip-gan"\noptions = { weights = "wav2lip-gan-mini" }'),
    ):
        assert old in text
        text = text.replace(old, new)
    saved.write_text(text)
    ended = lse_bench_here("benchmark", saved, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    # Made-up faces and a narrow scorer stand beside no published figure.
    assert "| LRS2 | Wav2Lip | LSE-D | not comparable | not comparable | " in ended.stdout
    assert "lrs@1, syncnet-mini |" in ended.stdout and "6.386" not in ended.stdout
    table = json.loads((tmp_path / "out" / "summary.json").read_text())["tables"][0]
    scored = {row["method"]: (row["scored"], row["listed"]) for row in table["rows"]}
    assert scored == {"real": (2, 2), "unsynced": (2, 2), "Wav2Lip": (2, 2), "Wav2Lip+GAN": (2, 2)}
