"""The logs of a training run: CSV files, TensorBoard and sample pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lse_bench.storage import write_atomically


class Log:
    """The files `log.csv` and `validation.csv` and the folders `tensorboard/` and `samples/` of a run directory.

    `start`: the step that a resumed run starts from. Later rows of the CSV files are removed.
    """

    def __init__(self, out: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        out.mkdir(parents=True, exist_ok=True)
        self._out = out
        for name in ("log.csv", "validation.csv"):
            _cut(out / name, start)
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=start + 1)

    def write(self, name: str, step: int, row: dict[str, float]) -> None:
        """Append `row` to the CSV file `name` and to TensorBoard."""
        path = self._out / name
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *row])
            writer.writerow([step, *(f"{value:.7g}" for value in row.values())])
        for key, value in row.items():
            self._board.add_scalar(f"{path.stem}/{key}", value, step)

    def picture(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a BGR sample picture (H,W,3) to `samples/` and to TensorBoard."""
        folder = self._out / "samples"
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"step-{step:07d}.png"), picture)
        self._board.add_image("samples", np.ascontiguousarray(picture[..., ::-1]), step, dataformats="HWC")

    def close(self) -> None:
        """Write all pending events and close TensorBoard's file."""
        self._board.close()


def _cut(path: Path, step: int) -> None:
    """Remove the rows after `step`, because a killed run may have logged steps that it did not save."""
    if not path.exists():
        return
    header, *rows = path.read_text(encoding="utf-8").splitlines() or [""]
    if not header:  # the run was killed before the first row reached the disk
        path.unlink()
        return
    kept = [row for row in rows if row.split(",")[0].isdigit() and int(row.split(",")[0]) <= step]
    write_atomically(path, ("\n".join([header, *kept]) + "\n").encode())
