"""`manifest build | import | check | show | corpora`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app, make_console, progress_bar, tell_passed, working
from lse_bench.errors import UsageError

group = typer.Typer(
    no_args_is_help=True,
    help="Lists of pairs (which video speaks which sound): build, import, check, show.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="manifest", rich_help_panel=MAKE)

_SHOWN_PROBLEMS = 20

Path_ = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (.json).")]
Root = Annotated[Path | None, typer.Option(help="Folder with the files; default: the one the manifest remembers.")]
Out = Annotated[Path, typer.Option(help="The manifest to write (.json).")]


@group.command(
    epilog="**Examples**\n\n    lse-bench manifest build minilrs --pairs 100 --out pairs.json\n\n"
    "    lse-bench manifest build videos/ --rule self --out self.json\n\n"
    "    lse-bench manifest build LRS2 --seed 1 --out lrs2.json      (14,239 pairs, the published list's size)"
)
def build(
    folder: Annotated[Path, typer.Argument(help="A corpus (LRS2, LRS3, LRW, MiniLRS) or any folder of videos.")],
    out: Out,
    pairs: Annotated[
        int | None, typer.Option(min=1, help="How many; default: the published list's size, or every clip for self.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same pairs.")] = 0,
    rule: Annotated[str, typer.Option(help="other-speaker, same-speaker or self.")] = "other-speaker",
    split: Annotated[str, typer.Option(help="Split of a corpus.")] = "test",
) -> None:
    """Choose pairs of a video and a sound by a seeded rule."""
    from lse_bench.manifests.manifest import write_manifest
    from lse_bench.manifests.pairing import build_manifest
    from lse_bench.manifests.search import Passed

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    console = make_console()
    passed = Passed()
    with working(console, f"Looking through {folder}"):
        manifest = build_manifest(folder, pairs, seed, rule, split, passed)  # type: ignore[arg-type]
    tell_passed(console, passed)
    write_manifest(manifest, out)
    console.print(f"{len(manifest.jobs)} pairs, {manifest.name}: {out}", highlight=False, markup=False)


@group.command(
    "import",
    epilog="**Example**\n\n    lse-bench manifest import lrs2 --list lrs2.txt --root LRS2 --out lrs2-test.json",
)
def import_(
    corpus: Annotated[str, typer.Argument(help="lrs2, lrs3, lrw, resynced-random or resynced-tts.")],
    out: Out,
    list_: Annotated[
        Path | None, typer.Option("--list", help="Your copy of the list; default: fetched from its pinned address.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that the corpus lies in; can be given later.")] = None,
    any_digest: Annotated[
        bool, typer.Option("--any-digest", help="Accept a list that is not the official one.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never fetch the list.")] = False,
) -> None:
    """Turn an official test list into a manifest; its digest is checked, and it is never stored anywhere else."""
    from lse_bench.manifests.manifest import write_manifest
    from lse_bench.manifests.official_lists import fetch_list, import_list
    from lse_bench.storage import read_bytes

    console = make_console()
    if list_ is not None:
        content = read_bytes(list_)
    else:
        content = fetch_list(corpus, offline, lambda text: console.print(text, highlight=False, markup=False))
    manifest = import_list(corpus, content, root, any_digest=any_digest)
    write_manifest(manifest, out)
    console.print(f"{len(manifest.jobs)} pairs, {manifest.name}: {out}", highlight=False, markup=False)


@group.command(epilog="**Example**\n\n    lse-bench manifest check lrs2-test.json --root LRS2")
def check(path: Path_, root: Root = None, as_json: Json = False) -> None:
    """Look for every file of a manifest and probe it. Exit status 1 when something is missing or unreadable."""
    from dataclasses import asdict

    from lse_bench.manifests.check import check_manifest
    from lse_bench.manifests.manifest import read_manifest

    console = make_console()
    manifest = read_manifest(path)
    folder = manifest.folder(root)
    files = {name for job in manifest.jobs for name in (job.video, job.sound)}
    with progress_bar(console, "probing", len(files)) as (_, advance):
        findings = check_manifest(manifest, folder, lambda: advance("probing"))
    if as_json:
        print(json.dumps(asdict(findings), indent=2, ensure_ascii=False))
    else:
        for name, problem in findings.problems[:_SHOWN_PROBLEMS]:
            console.print(f"{name}: {problem}", style="red", highlight=False, markup=False, soft_wrap=True)
        if len(findings.problems) > _SHOWN_PROBLEMS:
            console.print(f"… and {len(findings.problems) - _SHOWN_PROBLEMS} more (--json lists all)", style="red")
        for note in findings.notes:
            console.print(note, style="yellow", highlight=False, markup=False)
        hours = findings.seconds / 3600
        console.print(
            f"{findings.jobs} pairs, {findings.files} files, {hours:.2f} h, {len(findings.problems)} problems",
            highlight=False,
        )
    if findings.problems:
        raise typer.Exit(1)


@group.command()
def show(path: Path_, as_json: Json = False) -> None:
    """Say what a manifest holds."""
    from lse_bench.manifests.manifest import read_manifest

    manifest = read_manifest(path)
    counts = {name: len({job.groups.get(name) for job in manifest.jobs}) for name in ("video", "sound", "speaker")}
    facts = manifest.model_dump(by_alias=True, exclude={"jobs"}) | {
        "pairs": len(manifest.jobs),
        "distinct": counts,
        "self_pairs": sum(job.video == job.sound for job in manifest.jobs),
        "most_used_video": Counter(job.video for job in manifest.jobs).most_common(1)[0],
    }
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for name, value in facts.items():
        console.print(f"{name}: {value}", highlight=False, markup=False)
    for job in manifest.jobs[:3]:
        console.print(f"  {job.id}: {job.video} with the sound of {job.sound}", highlight=False, markup=False)


@group.command()
def corpora() -> None:
    """The corpora known here: licence, how to obtain them, their published counts and test lists."""
    from rich.console import Console

    from lse_bench.manifests.official_lists import corpora as known

    console = Console()
    for name, corpus in known().items():
        console.print(f"[bold]{name}[/bold]: {corpus.name}", highlight=False)
        console.print(f"  licence: {corpus.licence}\n  obtain: {corpus.obtain}", highlight=False, markup=False)
        console.print(f"  layout: {corpus.layout}", highlight=False, markup=False)
        if corpus.list is not None:
            text = f"  test list: {corpus.list.pairs} pairs, {corpus.list.url} ({corpus.list.licence})"
            console.print(text, highlight=False, markup=False)
