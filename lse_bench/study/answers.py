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
_STARTED = "example"  # the stage after which a rater holds a plan; those before it only lend it
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
CREATE UNIQUE INDEX IF NOT EXISTS platform_raters ON raters (platform, platform_id) WHERE platform_id IS NOT NULL;
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
        self._path = folder / ANSWERS_FILE
        self._writing, self._reading = threading.Lock(), threading.Lock()
        try:
            self._base, self._reader = self._open(), self._open()
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")  # an acknowledged answer survives a power cut too
            self._base.execute("PRAGMA foreign_keys = ON")
            self._base.execute("PRAGMA secure_delete = ON")  # what a rater withdraws is overwritten
            self._base.executescript(_TABLES)
        except sqlite3.Error as error:
            raise self._wrong(error) from None

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def _wrong(self, error: sqlite3.Error) -> UsageError:
        return UsageError(f"{self._path}: {error}. Is it damaged, the disk full, or the folder read-only?")

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *ended: object) -> None:
        with self._writing, self._reading:
            self._reader.close()
            self._base.close()

    def invite(self, count: int) -> list[str]:
        """Make `count` raters without a plan, the only ones of a new study, and return their tokens."""
        tokens = [_token() for _ in range(count)]
        with self._write() as base:
            base.execute("DELETE FROM raters")  # of a stopped call
            base.executemany("INSERT INTO raters (token) VALUES (?)", [(token,) for token in tokens])
        return tokens

    def enter(self, platform: Platform | None) -> Rater | None:
        """Return a new rater, or the one who came from the platform before in the same session.

        None if the rater came before in another session: names of raters are known to others, and a rater takes part
        once.
        """
        with self._write() as base:
            if platform is not None:
                row = base.execute(
                    "SELECT * FROM raters WHERE platform = ? AND platform_id = ?", (platform.name, platform.rater)
                ).fetchone()
                if row is not None:
                    there = Rater(*row)
                    same = (there.platform_study, there.platform_session) == (platform.study, platform.session)
                    return there if same and platform.session else None
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

        Nobody has a plan whose raters have withdrawn, or have not finished and not answered for three hours. If no plan
        is left, one of a rater who has not passed the sound check and the examples is given to two.
        """
        now = time.time()
        with self._write() as base:
            if base.execute("SELECT plan FROM raters WHERE number = ?", (rater.number,)).fetchone()[0] is not None:
                return True
            rows = base.execute(
                "SELECT plan, EXISTS (SELECT 1 FROM answers WHERE rater = number AND step = ?) FROM raters "
                "WHERE plan IS NOT NULL AND withdrawn IS NULL AND (finished IS NOT NULL OR seen > ?)",
                (_STARTED, now - _IDLE_SECONDS),
            ).fetchall()
            lent, held = {plan for plan, _ in rows}, {plan for plan, started in rows if started}
            free = [plan for plan in range(plans) if plan not in lent] or [p for p in range(plans) if p not in held]
            if not free:
                return False
            base.execute(
                "UPDATE raters SET plan = ?, begun = ?, seen = ? WHERE number = ?", (free[0], now, now, rater.number)
            )
            return True

    def show(self, rater: Rater, step: str) -> None:
        """Record when a step is shown for the first time. A time in the future, by a clock set back, is renewed."""
        now = time.time()
        if (self.shown_at(rater, step) or now + 1) <= now:
            return
        with self._write() as base:
            if base.execute("SELECT withdrawn FROM raters WHERE number = ?", (rater.number,)).fetchone()[0] is None:
                base.execute("INSERT OR REPLACE INTO shown VALUES (?, ?, ?)", (rater.number, step, now))

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
            seconds = None if shown is None or shown[0] > now else now - shown[0]
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
        with self._writing:
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # nothing is left in the log either

    def take(self, token: str, plan: int, begun: float, finished: float | None, answers: Sequence[Answer]) -> int:
        """Add answers that were given elsewhere, and return how many are new. Older ones stay as they are."""
        with self._write() as base:
            base.execute(
                "INSERT OR IGNORE INTO raters (token, plan, begun, seen) VALUES (?, ?, ?, ?)",
                (token, plan, begun, finished or begun),
            )
            number = base.execute("SELECT number FROM raters WHERE token = ?", (token,)).fetchone()[0]
            base.execute("UPDATE raters SET finished = coalesce(finished, ?) WHERE number = ?", (finished, number))
            before = base.total_changes
            base.executemany(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(number, a.step, a.question, a.value, a.at, a.seconds, a.plays, a.played) for a in answers],
            )
            return base.total_changes - before

    def raters(self) -> list[Rater]:
        """Return all raters in the order of their numbers."""
        return [Rater(*row) for row in self._read("SELECT * FROM raters ORDER BY number")]

    def all(self) -> list[Answer]:
        """Return all answers in the order of raters and times."""
        return [Answer(*row) for row in self._read("SELECT * FROM answers ORDER BY rater, at, step, question")]

    def _read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query. It does not wait for those who write."""
        with self._reading:
            try:
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise self._wrong(error) from None

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Hold the right to write. What is written is on the disk when the block ends without an error."""
        with self._writing:
            try:
                self._base.execute("BEGIN IMMEDIATE")
                yield self._base
                self._base.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._wrong(error) from None
            finally:
                if self._base.in_transaction:  # it failed; a full disk may have ended it already
                    self._base.execute("ROLLBACK")


def _token() -> str:
    return secrets.token_urlsafe(18)
