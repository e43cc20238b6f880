"""Text for a paper about a run: its signature, a methods paragraph, and BibTeX entries of the methods used."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from lse_bench.runs.read import Run
from lse_bench.runs.schema import MetricSummary
from lse_bench.sync.protocol import PROTOCOLS
from lse_bench.sync.signature import DIGITS

BIBTEX = MappingProxyType(
    {
        "lse-bench": """@software{lsebench,
  title  = {{LSE-Bench}: lip-sync scores that anyone can reproduce},
  author = {{The LSE-Bench authors}},
  year   = {2026},
  url    = {https://github.com/lse-bench/lse-bench}
}""",
        "syncnet": """@inproceedings{chung2016out,
  title     = {Out of Time: Automated Lip Sync in the Wild},
  author    = {Chung, Joon Son and Zisserman, Andrew},
  booktitle = {ACCV Workshop on Multi-view Lip-reading},
  year      = {2016}
}""",
        "wav2lip": """@inproceedings{prajwal2020lip,
  title     = {A Lip Sync Expert Is All You Need for Speech to Lip Generation in the Wild},
  author    = {Prajwal, K R and Mukhopadhyay, Rudrabha and Namboodiri, Vinay P. and Jawahar, C. V.},
  booktitle = {ACM Multimedia},
  year      = {2020}
}""",
        "fid": """@inproceedings{heusel2017gans,
  title     = {{GANs} Trained by a Two Time-Scale Update Rule Converge to a Local {Nash} Equilibrium},
  author    = {Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and
               Hochreiter, Sepp},
  booktitle = {NeurIPS},
  year      = {2017}
}

@misc{seitzer2020fid,
  title  = {{pytorch-fid}: {FID} Score for {PyTorch}},
  author = {Seitzer, Maximilian},
  year   = {2020},
  url    = {https://github.com/mseitzer/pytorch-fid}
}""",
        "s3fd": """@inproceedings{zhang2017s3fd,
  title     = {{S3FD}: Single Shot Scale-Invariant Face Detector},
  author    = {Zhang, Shifeng and Zhu, Xiangyu and Lei, Zhen and Shi, Hailin and Wang, Xiaobo and Li, Stan Z.},
  booktitle = {ICCV},
  year      = {2017}
}""",
        "centerface": """@article{xu2020centerface,
  title   = {{CenterFace}: Joint Face Detection and Alignment Using Face as Point},
  author  = {Xu, Yuanyuan and Yan, Wan and Yang, Genke and Luo, Jiliang and Li, Tao and He, Jianan},
  journal = {Scientific Programming},
  year    = {2020}
}""",
    }
)


def citation(run: Run) -> str:
    """Return the signature, the methods paragraph and the BibTeX entries of a run as one text."""
    parts = [run.signature, paragraph(run), "\n\n".join(BIBTEX[name] for name in sources(run))]
    return "\n\n".join(parts) + "\n"


def paragraph(run: Run) -> str:
    """Return a paragraph for the evaluation section of a paper."""
    about, summary = run.description, run.summary
    protocol = about.protocol.split(":")[0]
    weights = about.weights.name or "a SyncNet checkpoint of our own"
    digest = (about.weights.sha256 or "")[:DIGITS]
    version = (about.versions or {}).get("lse-bench", "of an unknown version")
    what = PROTOCOLS[protocol].what if protocol in PROTOCOLS else about.protocol
    sentences = [
        f"We computed LSE-D and LSE-C with LSE-Bench {version} under the protocol {protocol} "
        f"({what}), with {weights} (SHA-256 {digest}…).",
        f"Of {summary.listed} clips, {summary.scored} were scored.",
        f"LSE-D is {_shown(run.lse_d)} and LSE-C is {_shown(run.lse_c)}.",
    ]
    if summary.failed:
        failed = ", ".join(f"{count} {status}" for status, count in summary.failed.items())
        sentences.append(f"The others failed: {failed}.")
    if run.lse_d.ci95 is not None:
        sentences.append(f"Intervals are 95 % ({run.lse_d.ci_method}).")
    if summary.converted:
        sentences.append(f"{summary.converted} clips are not 25 fps (policy: {about.key.get('fps_policy')}).")
    if about.adopted is not None:
        sentences.append("The videos were finished before; how they were made is not recorded.")
    if run.fid is not None:
        sentences.append(f"FID against the original videos is {run.fid:.2f} ({run.fid_id}).")
    if run.fd_sync is not None:
        sentences.append(f"The Fréchet distance of SyncNet's lip embeddings is {run.fd_sync:.2f}.")
    return " ".join(sentences)


def sources(run: Run) -> Iterator[str]:
    """Yield the names in `BIBTEX` of the software and methods that a run used."""
    yield from ("lse-bench", "syncnet", "wav2lip")
    detector = run.description.key.get("detector", "")
    if detector:
        yield "centerface" if detector.startswith("centerface") else "s3fd"
    if run.fid is not None:
        yield "fid"


def _shown(metric: MetricSummary) -> str:
    if metric.mean is None:
        return "undefined"
    if metric.ci95 is None:
        return f"{metric.mean:.3f}"
    return f"{metric.mean:.3f} ± {(metric.ci95[1] - metric.ci95[0]) / 2:.3f}"
