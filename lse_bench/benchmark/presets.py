"""Built-in benchmarks. Each is the text of a BENCH.toml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lse_bench.errors import UsageError, no_such

PRESETS = ("wav2lip-paper",)
_CORPORA = {"lrs2": "LRS2", "lrs3": "LRS3", "lrw": "LRW"}

_WAV2LIP_PAPER = """\
# The comparison of the Wav2Lip paper with its released weights and evaluation scripts.
name = "wav2lip-paper"
published = true        # print the published figures next to ours
max_failed = 100000     # the published lists drop pairs whose source is shorter than the sound; they are counted

[[protocols]]
protocol = "lrs@1"
weights = "syncnet_v2"

[fid]

[[methods]]
name = "Wav2Lip"
generator = "wav2lip"
options = { legacy = true }

[[methods]]
name = "Wav2Lip+GAN"
generator = "wav2lip-gan"
options = { legacy = true }
"""

_LIST = """
[[manifests]]
name = "{name}"
root = {root}
official = {{ corpus = "{corpus}"{copy} }}
"""


def preset_text(name: str, roots: Mapping[str, Path], lists: Path | None) -> str:
    """Return the BENCH.toml of the preset `name`.

    `roots`: the folder of each corpus, by the name of the corpus. `lists`: a folder with copies of the official lists;
    None fetches them. Raises UsageError if the preset is unknown or no corpus is given.
    """
    if name not in PRESETS:
        raise UsageError(no_such("preset", name, PRESETS))
    if not roots:
        raise UsageError(f"--preset {name} needs a corpus. Give its folder with --lrs2, --lrs3 or --lrw")
    text = _WAV2LIP_PAPER
    for corpus, root in roots.items():
        copy = "" if lists is None else f", list = {_quoted(lists.absolute() / f'{corpus}.txt')}"
        text += _LIST.format(name=_CORPORA[corpus], root=_quoted(root.absolute()), corpus=corpus, copy=copy)
    return text


def _quoted(path: Path) -> str:
    """Return a path as a TOML string."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
