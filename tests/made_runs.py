"""Makes run directories of made-up records for leaderboards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from described import write_summary_of

from lse_bench.manifests.clips import Source
from lse_bench.manifests.listed import list_digest
from lse_bench.media.writer import write_clip
from lse_bench.runs.records import open_records
from lse_bench.runs.schema import Record
from lse_bench.storage import json_bytes
from lse_bench.weights.readers import file_digest
from lse_bench.weights.table import table

EVIL = "<img src=x onerror=alert(1)>"
SHA = table()["syncnet-mini"].sha256
KEY = {"protocol": "lrs-lossless@1", "weights_sha256": SHA, "fps_policy": "require-25", "precision": "fp32"}


def write_run(folder: Path, method: str, corpus: str, level: float, clips: int = 6, protocol: str = "lrs-lossless@1",
              playable: bool = False) -> Path:  # fmt: skip
    """A run directory of a generation, with windows and videos where it is playable."""
    rng = np.random.default_rng(int(level * 10))
    videos = folder / "videos"
    videos.mkdir(parents=True)
    run = folder / "run"
    run.mkdir()
    records = []
    for number in range(clips):
        name = f"v{number}" if method == "real" else f"v{number}+v{(number + 1) % clips}"
        groups = {"video": f"v{number}"} | ({} if method == "real" else {"sound": f"v{(number + 1) % clips}"})
        lse_c = float(level + rng.normal(0, 0.1))
        curve = [9.0 - lse_c if shift == 15 else 9.0 for shift in range(31)]
        sha = f"{method}{number}".encode().hex().ljust(64, "0")
        if playable and number < 2:
            frames = (np.full((64, 64, 3), 4 * shade, np.uint8) for shade in range(25))
            write_clip(videos / f"{name}.mp4", frames, (rng.normal(0, 3000, 16000)).astype(np.int16))
            sha = file_digest(videos / f"{name}.mp4")
            (run / "windows").mkdir(exist_ok=True)
            np.savez(run / "windows" / f"{name}.npz", distances=rng.uniform(5, 9, (20, 31)).astype(np.float32))
        records.append(Record(clip=f"{name}.mp4", id=name, status="ok", lse_d=9.0 - lse_c, lse_c=lse_c, offset=0,
                              lse_d_at_0=9.0 - lse_c, lse_d_valid=9.0 - lse_c, lse_c_valid=lse_c, offset_valid=0,
                              curve=curve, seconds=1.0, groups=groups, sha256=sha))  # fmt: skip
    key = KEY | {"protocol": protocol}
    about = {
        "schema": 1, "kind": "score", "protocol": protocol, "key": key, "shard": None, "precision": "fp32",
        "weights": {"sha256": SHA, "name": "syncnet-mini", "file": "syncnet-mini"}, "device": "cpu", "started": "then",
        "list": {"clips": clips, "sha256": list_digest([])}, "manifest_sha256": "2" * 64, "command": ["lse-bench"],
        "source": Source([videos]).as_json(), "versions": {"lse-bench": "0"},
        "generation": {"generator": method, "key": {"package": "lse-bench 0", "weights_sha256": None, "root": "/r"},
                       "manifest": {"name": corpus}, "versions": {}},
    }  # fmt: skip
    (run / "run.json").write_bytes(json_bytes(about))
    with open_records(run) as append:
        for record in records:
            append(record)
    write_summary_of(run / "summary.json", records, len(records), key)
    return run
