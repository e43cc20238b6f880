"""The answers of a study in SQLite. An answer that was acknowledged is on the disk, once."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lse_bench.errors import UsageError
from lse_bench.study.folder import ANSWERS_FILE

_IDLE_SECONDS = 3 * 3600  # after this long without an answer, the plan of a rater is given to another one too
_BUSY_SECONDS = 30
_TABLES = """
CREATE TABLE IF NOT EXISTS raters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL UNIQUE,
    plan INTEGER,
    platform TEXT,
    platform_id TEXT,
    platform_study TEXT,
    platform_session TEXT,
    begun REAL,
    seen REAL,
    finished REAL,
    withdrawn REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS platform_raters ON raters (platform, platform_id, platform_study)
    WHERE platform_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS shown (
    rater INTEGER NOT NULL REFERENCES raters (number),
    step TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (rater, step)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    rater INTEGER NOT NULL REFERENCES raters (number),
    step TEXT NOT NULL,
    question TEXT NOT NULL,
    value TEXT NOT NULL,
    at REAL NOT NULL,
    seconds REAL,
    plays TEXT,
    played TEXT,
    PRIMARY KEY (rater, step, question)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Rater:
    """A rater. Times are seconds since 1970, None for what has not happened.

    `number`: counts from 1. `token`: the secret part of the personal link. `plan`: the number of the plan, from 0; None
    before the consent. `platform`, `platform_id`, `platform_study`, `platform_session`: where a rater comes from.
    """

    number: int
    token: str
    plan: int | None
    platform: str | None
    platform_id: str | None
    platform_study: str | None
    platform_session: str | None
    begun: float | None
    seen: float | None
    finished: float | None
    withdrawn: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question of a step.

    `at`: when it came, seconds since 1970. `seconds`: from the first showing of the step to the answer. `plays`: how
    often each clip of the step was played to its end, as `1` or `2 1`. `played`: how many seconds its first full play
    took, as `3.02`.
    """

    rater: int
    step: str
    question: str
    value: str
    at: float
    seconds: float | None
    plays: str | None
    played: str | None


@dataclass(frozen=True, slots=True)
class Platform:
    """A crowd platform's names: of itself, of the rater, of the study and of the session; the last two may be empty."""

    name: str
    rater: str
    study: str = ""
    session: str = ""


class Answers:
    """The answers in a study's folder. Threads and processes may use it at the same time; close it at the end."""

    def __init__(self, folder: Path) -> None:
        path = folder / ANSWERS_FILE
        self._alone = threading.RLock()
        try:
            self._base = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")  # an acknowledged answer survives a power cut too
            self._base.execute("PRAGMA foreign_keys = ON")
            self._base.execute("PRAGMA secure_delete = ON")  # what a rater withdraws is overwritten
            self._base.executescript(_TABLES)
        except sqlite3.Error as error:
            raise UsageError(f"{path}: cannot be opened: {error}. Is it damaged, or the folder read-only?") from None

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *ended: object) -> None:
        with self._alone:
            self._base.close()

    def invite(self, count: int) -> list[str]:
        """Add `count` raters without a plan, and return their tokens."""
        tokens = [_token() for _ in range(count)]
        with self._write() as base:
            base.executemany("INSERT INTO raters (token) VALUES (?)", [(token,) for token in tokens])
        return tokens

    def enter(self, platform: Platform | None) -> Rater:
        """Return a new rater, or the one that came from the platform before."""
        with self._write() as base:
            if platform is not None:
                row = base.execute(
                    "SELECT * FROM raters WHERE platform = ? AND platform_id = ? AND platform_study = ?",
                    (platform.name, platform.rater, platform.study),
                ).fetchone()
                if row is not None:
                    return Rater(*row)
            names = (
                (None,) * 4 if platform is None else (platform.name, platform.rater, platform.study, platform.session)
            )
            base.execute(
                "INSERT INTO raters (token, platform, platform_id, platform_study, platform_session) "
                "VALUES (?, ?, ?, ?, ?)",
                (_token(), *names),
            )
            return Rater(*base.execute("SELECT * FROM raters WHERE number = last_insert_rowid()").fetchone())

    def rater(self, token: str) -> Rater | None:
        """Return the rater with this token."""
        rows = self._read("SELECT * FROM raters WHERE token = ?", token)
        return Rater(*rows[0]) if rows else None

    def begin(self, rater: Rater, plans: int) -> bool:
        """Give a rater the first plan that nobody has, and return whether there was one. A second call changes nothing.

        Nobody has a plan whose raters have withdrawn, or have not finished and not answered for three hours.
        """
        now = time.time()
        with self._write() as base:
            if base.execute("SELECT plan FROM raters WHERE number = ?", (rater.number,)).fetchone()[0] is not None:
                return True
            held = base.execute(
                "SELECT DISTINCT plan FROM raters WHERE plan IS NOT NULL AND withdrawn IS NULL "
                "AND (finished IS NOT NULL OR seen > ?)",
                (now - _IDLE_SECONDS,),
            )
            taken = {plan for (plan,) in held}
            free = next((plan for plan in range(plans) if plan not in taken), None)
            if free is None:
                return False
            base.execute(
                "UPDATE raters SET plan = ?, begun = ?, seen = ? WHERE number = ?", (free, now, now, rater.number)
            )
            return True

    def show(self, rater: Rater, step: str) -> None:
        """Record when a step is shown for the first time."""
        if self.shown_at(rater, step) is not None:
            return
        with self._write() as base:
            base.execute("INSERT OR IGNORE INTO shown VALUES (?, ?, ?)", (rater.number, step, time.time()))

    def shown_at(self, rater: Rater, step: str) -> float | None:
        """Return when a step was shown for the first time, seconds since 1970; None if it never was."""
        rows = self._read("SELECT at FROM shown WHERE rater = ? AND step = ?", rater.number, step)
        return float(rows[0][0]) if rows else None

    def answered(self, rater: Rater) -> dict[str, dict[str, str]]:
        """Return the answers of a rater by step and question."""
        found: dict[str, dict[str, str]] = {}
        for step, question, value in self._read(
            "SELECT step, question, value FROM answers WHERE rater = ?", rater.number
        ):
            found.setdefault(step, {})[question] = value
        return found

    def store(
        self, rater: Rater, step: str, values: Mapping[str, str], plays: str | None = None, played: str | None = None
    ) -> bool:
        """Store the answers of a step, and return whether they are new. The first answers of a step stay for good."""
        now = time.time()
        with self._write() as base:
            there = base.execute("SELECT withdrawn FROM raters WHERE number = ?", (rater.number,)).fetchone()
            if there[0] is not None:
                return False
            if base.execute("SELECT 1 FROM answers WHERE rater = ? AND step = ?", (rater.number, step)).fetchone():
                return False
            shown = base.execute("SELECT at FROM shown WHERE rater = ? AND step = ?", (rater.number, step)).fetchone()
            seconds = None if shown is None else now - shown[0]
            base.executemany(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(rater.number, step, name, value, now, seconds, plays, played) for name, value in values.items()],
            )
            base.execute("UPDATE raters SET seen = ? WHERE number = ?", (now, rater.number))
        return True

    def finish(self, rater: Rater) -> None:
        """Record that a rater has answered everything."""
        with self._write() as base:
            base.execute(
                "UPDATE raters SET finished = coalesce(finished, ?) WHERE number = ?", (time.time(), rater.number)
            )

    def withdraw(self, rater: Rater) -> None:
        """Delete the answers of a rater and what the platform said of them. The rater's number stays."""
        with self._write() as base:
            base.execute("DELETE FROM answers WHERE rater = ?", (rater.number,))
            base.execute("DELETE FROM shown WHERE rater = ?", (rater.number,))
            base.execute(
                "UPDATE raters SET withdrawn = ?, plan = NULL, platform = NULL, platform_id = NULL, "
                "platform_study = NULL, platform_session = NULL WHERE number = ?",
                (time.time(), rater.number),
            )

    def take(self, token: str, plan: int, begun: float, finished: float | None, answers: Sequence[Answer]) -> bool:
        """Add a rater who answered elsewhere, and return whether the rater is new."""
        with self._write() as base:
            if base.execute("SELECT 1 FROM raters WHERE token = ?", (token,)).fetchone():
                return False
            base.execute(
                "INSERT INTO raters (token, plan, begun, seen, finished) VALUES (?, ?, ?, ?, ?)",
                (token, plan, begun, finished or begun, finished),
            )
            number = base.execute("SELECT last_insert_rowid()").fetchone()[0]
            base.executemany(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(number, a.step, a.question, a.value, a.at, a.seconds, a.plays, a.played) for a in answers],
            )
        return True

    def raters(self) -> list[Rater]:
        """Return all raters in the order of their numbers."""
        return [Rater(*row) for row in self._read("SELECT * FROM raters ORDER BY number")]

    def all(self) -> list[Answer]:
        """Return all answers in the order of raters and times."""
        return [Answer(*row) for row in self._read("SELECT * FROM answers ORDER BY rater, at, step, question")]

    def _read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._alone:
            return self._base.execute(sql, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Hold the right to write. What is written is on the disk when the block ends without an error."""
        with self._alone:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield self._base
                self._base.execute("COMMIT")
            except BaseException:
                if self._base.in_transaction:  # a full disk may have ended it
                    self._base.execute("ROLLBACK")
                raise


def _token() -> str:
    return secrets.token_urlsafe(18)
