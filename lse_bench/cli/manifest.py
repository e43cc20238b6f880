"""The commands `lse-bench manifest build`, `from`, `edit`, `import`, `check`, `show` and `corpora`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import MAKE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.tasks.declared_corpora import BuildOptions, EditOptions, FromOptions, ImportOptions

group = typer.Typer(
    no_args_is_help=True,
    help="Build, import, check and show manifests: lists of pairs of a source video and a sound.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="manifest", rich_help_panel=MAKE)

_SHOWN_PROBLEMS = 20

Path_ = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (.json).")]
Root = Annotated[Path | None, typer.Option(help="Folder with the files. Default: the folder that the manifest names.")]
Out = Annotated[Path, typer.Option(help="The manifest to write (.json).")]


@group.command(
    epilog="**Examples**\n\n    lse-bench manifest build minilrs --pairs 100 --out pairs.json\n\n"
    "    lse-bench manifest build videos/ --rule self --out self.json\n\n"
    "    lse-bench manifest build LRS2 --seed 1 --out lrs2.json      (14,239 pairs, the published list's size)"
)
@offers(BuildOptions)
def build(
    folder: Annotated[
        Path, typer.Argument(help="A corpus (LRS2, LRS3, LRW, MiniLRS), any folder of videos, or a list of clips.")
    ],
    out: Out,
    options: BuildOptions,
) -> None:
    """Draw pairs of a source video and a sound by a seeded rule, and write a manifest."""
    with ConsoleReport().importing():
        from lse_bench.tasks.corpora import build_pairs

    build_pairs(out, folder, options, ConsoleReport())


@group.command(
    "from",
    epilog="**Examples**\n\n    lse-bench manifest from pairs.csv --out pairs.json\n\n"
    "    lse-bench manifest from hdtf.tsv --root HDTF --speaker-from '(?P<speaker>[^/]+)/' --out hdtf.json\n\n"
    "    lse-bench manifest from pairs.parquet --column video=path --column sound=wav --out pairs.json\n\n"
    "A list (.csv, .tsv, .json, .jsonl, .parquet) has the columns video and sound, and may have id, speaker and "
    "group_NAME.",
)
@offers(FromOptions)
def from_(
    path: Annotated[Path, typer.Argument(metavar="LIST", help="A list of pairs, one in each row.")],
    out: Out,
    options: FromOptions,
    root: Annotated[
        Path | None, typer.Option(help="Folder that file names are relative to. Default: the folder of the list.")
    ] = None,
) -> None:
    """Turn your own list of pairs into a manifest. What was understood of it is printed."""
    with ConsoleReport().importing():
        from lse_bench.tasks.corpora import pairs_from

    pairs_from(out, path, root, options, ConsoleReport())


@group.command(
    epilog="**Examples**\n\n    lse-bench manifest edit lrs2.json --sample 200 --seed 1 --out some.json\n\n"
    "    lse-bench manifest edit a.json b.json --where speaker!=anna --out both.json\n\n"
    "    lse-bench manifest edit all.json --split train=0.9 --split test=0.1 --by speaker --out parts/",
)
@offers(EditOptions)
def edit(
    paths: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="Manifests (.json), joined in order.")],
    out: Annotated[Path, typer.Option(help="The manifest to write (.json); with --split, a folder for the parts.")],
    options: EditOptions,
) -> None:
    """Join manifests, keep some of their pairs, or split them. The digest of the result follows its pairs."""
    with ConsoleReport().importing():
        from lse_bench.tasks.corpora import edit_pairs

    edit_pairs(out, paths, options, ConsoleReport())


@group.command(
    "import",
    epilog="**Example**\n\n    lse-bench manifest import lrs2 --list lrs2.txt --root LRS2 --out lrs2-test.json",
)
@offers(ImportOptions)
def import_(
    corpus: Annotated[
        str, typer.Argument(help="The list to import: lrs2, lrs3, lrw, resynced-random or resynced-tts.")
    ],
    out: Out,
    options: ImportOptions,
    root: Annotated[Path | None, typer.Option(help="Folder of the corpus. It can also be given later.")] = None,
) -> None:
    """Turn an official test list into a manifest. Its digest is checked. No other copy of the list is stored."""
    with ConsoleReport().importing():
        from lse_bench.tasks.corpora import import_pairs

    import_pairs(out, corpus, root, options, ConsoleReport())


@group.command(epilog="**Example**\n\n    lse-bench manifest check lrs2-test.json --root LRS2")
def check(path: Path_, root: Root = None, as_json: Json = False) -> None:
    """Find and probe every file of a manifest. The exit status is 1 if a file is missing or unreadable."""
    from dataclasses import asdict

    from lse_bench.manifests.check import check_manifest
    from lse_bench.manifests.manifest import read_manifest

    report = ConsoleReport()
    manifest = read_manifest(path)
    folder = manifest.folder(root)
    files = {name for job in manifest.jobs for name in (job.video, job.sound)}
    with report.counting("probing", len(files)) as counter:
        findings = check_manifest(manifest, folder, counter.advance)
    if as_json:
        print(json.dumps(asdict(findings), indent=2, ensure_ascii=False))
    else:
        for name, problem in findings.problems[:_SHOWN_PROBLEMS]:
            report.fail(f"{name}: {problem}")
        if len(findings.problems) > _SHOWN_PROBLEMS:
            report.fail(f"… and {len(findings.problems) - _SHOWN_PROBLEMS} more (--json lists all)")
        for note in findings.notes:
            report.warn(note)
        hours = findings.seconds / 3600
        report.say(f"{findings.jobs} pairs, {findings.files} files, {hours:.2f} h, {len(findings.problems)} problems")
    if findings.problems:
        raise typer.Exit(1)


@group.command()
def show(path: Path_, as_json: Json = False) -> None:
    """Print the origin, the counts and the first pairs of a manifest."""
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
        console.print(f"{name}: {value}", highlight=False, markup=False, soft_wrap=True)
    for job in manifest.jobs[:3]:
        console.print(
            f"  {job.id}: {job.video} with the sound of {job.sound}", highlight=False, markup=False, soft_wrap=True
        )


@group.command()
def corpora() -> None:
    """List the known corpora: licence, how to obtain them, layout and official test lists."""
    from rich.console import Console

    from lse_bench.manifests.official_lists import corpora as known

    console = Console()
    for name, corpus in known().items():
        console.print(f"[bold]{name}[/bold]: {corpus.name}", highlight=False)
        console.print(
            f"  licence: {corpus.licence}\n  obtain: {corpus.obtain}", highlight=False, markup=False, soft_wrap=True
        )
        console.print(f"  layout: {corpus.layout}", highlight=False, markup=False, soft_wrap=True)
        if corpus.list is not None:
            text = f"  test list: {corpus.list.pairs} pairs, {corpus.list.url} ({corpus.list.licence})"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
