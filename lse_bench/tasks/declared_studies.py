"""The options of the tasks that make and analyse studies with people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lse_bench.tasks.options import Flag, TaskOptions


@dataclass(frozen=True, kw_only=True)
class StudyOptions(TaskOptions):
    """The options of `lse-bench study create`."""

    preset: Annotated[
        str, Flag("Questions that are known by name: rating, pairwise, wav2lip-paper or p910-avatar.")
    ] = "rating"
    language: Annotated[str, Flag("Language of the pages: en or ko.")] = "en"
    questions: Annotated[
        Path | None,
        Flag("A TOML file of questions and texts in place of --preset; see --show-questions.", names="file"),
    ] = None
    anchors: Annotated[
        str, Flag("Methods made from the manifest: real, unsynced, both with a comma between them, or none.")
    ] = "real,unsynced"
    names: Annotated[
        tuple[str, ...],
        Flag(
            'How the videos of a method are named: ours="{id}_ours.mp4". Repeatable.',
            metavar="METHOD=TEMPLATE",
            names="settings",
        ),
    ] = ()
    pair_sounds: Annotated[
        bool, Flag("Give the methods' videos the sounds of the manifest, in place of their own.")
    ] = False
    clips: Annotated[
        int, Flag("Number of pairs that are shown, each from another source video.", least=4, most=1000)
    ] = 20
    trials: Annotated[
        int,
        Flag(
            "Number of trials of a rater. Checks come on top. Half are of each kind if clips are rated and compared.",
            least=1,
            most=500,
        ),
    ] = 12
    raters: Annotated[
        int | None,
        Flag("Number of raters. Default: as many as --power asks for, and every clip twice.", least=1, most=5000),
    ] = None
    power: Annotated[
        float, Flag("Probability that the study shows the difference of two methods.", least=0.05, most=0.99)
    ] = 0.8
    difference: Annotated[float, Flag("That difference in ratings, points.", least=0.01, most=8)] = 0.5
    share: Annotated[
        float, Flag("That difference in comparisons: the better one's share of the votes.", least=0.51, most=0.99)
    ] = 0.65
    longest: Annotated[float, Flag("Length to which clips are cut, seconds.", least=1, most=60)] = 10.0
    gold: Annotated[
        Path | None,
        Flag("A CSV file of clips with known answers: clip, question, value, tolerance.", names="file"),
    ] = None
    seed: Annotated[int, Flag("Random seed of the choice, the assignment and the order of clips.", least=0)] = 0
    invited: Annotated[bool, Flag("Admit invited people only; invitations.csv gets one link for each rater.")] = False
    completion_code: Annotated[
        str | None, Flag("The code that raters get at the end. Default: a code of their own.")
    ] = None
    completion_url: Annotated[
        str | None, Flag("Where raters of a platform go at the end; {code} stands for the code.", metavar="URL")
    ] = None
    contact: Annotated[str | None, Flag("Whom raters can ask, as an e-mail address.")] = None
    licence: Annotated[str | None, Flag("Licence of the clips. Default: that of the manifest's corpus.")] = None
    static: Annotated[bool, Flag("Also write the trials as plain files, for people who may not run a server.")] = False
