"""The commands `lse-bench study create`, `serve`, `export`, `import` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lse_bench.cli.common import COMPARE, Json, app
from lse_bench.cli.console import ConsoleReport
from lse_bench.cli.offers import offers
from lse_bench.errors import UsageError
from lse_bench.tasks.declared_studies import StudyOptions

group = typer.Typer(
    no_args_is_help=True,
    help="Ask people: make a study, serve it, analyse the votes, and compare measures with them.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(group, name="study", rich_help_panel=COMPARE)

_CREATE_EXAMPLES = """
**Examples**

    lse-bench study create --manifest pairs.json --method ours=videos/ours --method wav2lip=videos/wav2lip --out study

    lse-bench study create --manifest pairs.json --method ours=ours --method theirs=theirs --preset wav2lip-paper
    --clips 40 --trials 16 --completion-code C1A2B3 --out study

    lse-bench study create --preset rating --language ko --show-questions > questions.toml

Then `lse-bench study serve study`. Run the same command with the same --out again to continue a stopped one.
"""


@group.command(epilog=_CREATE_EXAMPLES)
@offers(StudyOptions)
def create(
    options: StudyOptions,
    manifest: Annotated[Path | None, typer.Option(help="The list of pairs: a file from `lse-bench manifest`.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD=FOLDER", help="A method's videos of these pairs. Repeat for each method."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the study.")] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder with the files of the manifest. Default: the folder that the manifest names."),
    ] = None,
    show_questions: Annotated[
        bool, typer.Option("--show-questions", help="Print the questions and texts as TOML, and end.")
    ] = False,
) -> None:
    """Make a study from folders of videos: clips without names, a balanced plan for each rater, and checks."""
    with ConsoleReport().importing():
        from lse_bench.tasks.options import settings_of
        from lse_bench.tasks.studies import create_study, sheet_of

    if show_questions:
        from lse_bench.study.sheet import sheet_toml

        print(sheet_toml(sheet_of(options)), end="")
        return
    named = settings_of(tuple(method or ()), "--method")
    if manifest is None or out is None or not named:
        raise UsageError("study create needs --manifest, --method and --out. --help shows examples")
    console = ConsoleReport()
    try:
        study = create_study(
            out, manifest, {name: Path(folder) for name, folder in named.items()}, options, console, root=root
        )
    except KeyboardInterrupt:
        console.say(f"stopped; run the same command with --out {out} again to continue")
        raise typer.Exit(130) from None
    steps = sum(step.kind != "between" for step in study.plans[0])
    console.say(
        f"{len(study.methods)} methods ({', '.join(study.methods)}), {len(study.items)} pairs, {study.raters} raters "
        f"with {study.trials} trials each ({steps} with the checks): {out}"
    )
    for one in study.estimates:
        what = f"{one.effect:g} points" if one.kind == "rating" else f"{one.effect:.0%} of the votes for one of two"
        console.say(f"power: a difference of {what} shows with a probability of {one.power:.0%} ({one.kind})")
    console.say(f"licence of the clips: {study.licence or 'not known'}. May you show them to raters?")
    if study.invited:
        console.say(f"links of the invited: {out / 'invitations.csv'}")
    if options.static:
        console.say(f"plain files for {study.raters} raters: {out / 'form'}")
    after = f"send each rater one folder of {out / 'form'}; later: lse-bench study import {out} answers-*.json"
    console.say(f"next: {after}" if options.static else f"next: lse-bench study serve {out}")


_SERVE_EXAMPLES = """
**Examples**

    lse-bench study serve study

    lse-bench study serve study --port 8080 --host 0.0.0.0 --i-may-show-these

The address of the page of progress is printed at the start. Keep it to yourself. Ctrl-C ends the server; answers are
stored at once, and a later call goes on. Behind a web server with TLS, forward everything to this address.
"""


@group.command(epilog=_SERVE_EXAMPLES)
def serve(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A folder from `lse-bench study create`.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    i_may_show_these: Annotated[
        bool,
        typer.Option(
            "--i-may-show-these",
            help="I have read the licence of the clips, and may show them to people beyond this machine.",
        ),
    ] = False,
    per_minute: Annotated[
        int, typer.Option(min=1, help="Number of new raters that one network address may bring in a minute.")
    ] = 120,
) -> None:
    """Serve a study to raters in their browsers."""
    from lse_bench.versions import require

    for module in ("starlette", "uvicorn", "limits", "jinja2"):
        require(module, "study", "serving a study")
    from lse_bench.study.server.run import serve_study

    serve_study(study, host, port, i_may_show_these, per_minute, ConsoleReport())


_EXPORT_EXAMPLES = """
**Examples**

    lse-bench study export study --out answers.csv

    lse-bench study export study > answers.csv

docs/studies.md says what the columns are. The table names raters of platforms by the platform's numbers: take the
columns platform_id and platform_session out before you publish it.
"""


@group.command(epilog=_EXPORT_EXAMPLES)
def export(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A folder from `lse-bench study create`.")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write. Default: standard output.")] = None,
    rules: Annotated[Path | None, typer.Option(help="A TOML file of the rules by which raters are used.")] = None,
) -> None:
    """Write the answers of a study as CSV, one row an answer."""
    with ConsoleReport().importing():
        from lse_bench.storage import write_atomically
        from lse_bench.tasks.studies import export_study

    text = export_study(study, rules)
    if out is None:
        print(text, end="")
        return
    write_atomically(out, text.encode())
    ConsoleReport().say(f"{text.count(chr(10)) - 1} answers: {out}")


_IMPORT_EXAMPLES = """
**Examples**

    lse-bench study import study answers-*.json

Raters of the plain files (`study create --static`) save their answers as a file and send it to you. Votes from
elsewhere, as CSV, are analysed by `lse-bench study report votes.csv`.
"""


@group.command("import", epilog=_IMPORT_EXAMPLES)
def import_(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A folder from `lse-bench study create`.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Files of answers that raters saved.")],
) -> None:
    """Add answers that were given without a server to a study."""
    with ConsoleReport().importing():
        from lse_bench.tasks.studies import import_answers

    console = ConsoleReport()
    table = next((path for path in files if path.suffix.lower() == ".csv"), None)
    if table is not None:
        raise UsageError(f"{table}: a CSV file of votes is analysed by lse-bench study report {table} --out report")
    added = import_answers(study, files, console)
    console.say(f"{added} new answers from {len(files)} files: {study}")


_REPORT_EXAMPLES = """
**Examples**

    lse-bench study report study --out report

    lse-bench study report study --run ours=runs/ours --run wav2lip=runs/wav2lip --run real=runs/real --out report

    lse-bench study report votes.csv --run wav2lip=runs/wav2lip --run real=runs/real --out report

A CSV file has the columns item, method_a, method_b, votes_a, votes_b and perhaps votes_tie and rater; or item, method,
rater, question and value. An item is the id of a clip in the runs. OUT gets report.json and report.md.
"""


@group.command(epilog=_REPORT_EXAMPLES)
def report(
    votes: Annotated[Path, typer.Argument(metavar="VOTES", help="A folder of a study, or a CSV file of votes.")],
    out: Annotated[Path, typer.Option(help="Folder for the report.")],
    run: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD=RUN", help="A run directory of a method of the votes. Repeat for each method."),
    ] = None,
    rules: Annotated[
        Path | None, typer.Option(help="A TOML file of the rules by which raters of a study are used.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Report strengths or mean opinions of methods, and how far LSE-D, LSE-C and FID agree with people."""
    with ConsoleReport().importing():
        from lse_bench.benchmark.summary import read_cell
        from lse_bench.study.report_page import markdown
        from lse_bench.tasks.options import settings_of
        from lse_bench.tasks.studies import report_study

    named = settings_of(tuple(run or ()), "--run")
    empty = next((method for method, path in named.items() if not path), None)
    if empty is not None:
        raise UsageError(f"--run {empty}=: give the run directory of the method {empty}")
    console = ConsoleReport()
    read = {method: read_cell(Path(path)) for method, path in named.items()}
    found = report_study(out, votes, read, console, rules=rules)
    print(found.model_dump_json(indent=2, by_alias=True) if as_json else markdown(found))
    console.say(f"{found.votes} votes on {len(found.methods)} methods: {out}")
