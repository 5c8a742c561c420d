"""A call in the tables of the SQLite ledger: on record, and in the sums. And what stays of calls that are pruned."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from .ledger import HUB, Account, CallRecord, Kind
from .periods import PeriodKind
from .reports import COLUMNS, row_of

DaySum = tuple[str, str, str, int, int, int, int, int, int, int]
"""A row of the table `daily` without its day: kind, name, model, calls, failed, input, output, cache_write, cache_read,
cost."""


def record(db: sqlite3.Connection, call: CallRecord, accounts: Sequence[Account]) -> bool:
    """Put a call on record, and add it to the sums; False, and nothing is done, when it is there already."""
    added = db.execute(
        f"INSERT OR IGNORE INTO calls ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",  # noqa: S608 - made of the constants
        row_of(call),
    )
    if added.rowcount == 0:
        return False
    cache_write = call.cache_write_5m_tokens + call.cache_write_1h_tokens
    sums = (
        1, int(call.failed), call.input_tokens, call.output_tokens, cache_write, call.cache_read_tokens, call.cost
    )  # fmt: skip
    whose = [(Kind.PERSON, call.person), *((Kind.GROUP, group) for group in call.groups), (Kind.HUB, HUB)]
    _add(db, call.day, [(kind, name, call.model, *sums) for kind, name in whose])
    if call.cost:
        _spend(db, [(*account, call.cost) for account in accounts])
    return True


def prune(db: sqlite3.Connection, before: str, most: int) -> int:
    """Drop up to `most` calls of days before `before`, and remember how many runs each day had. Gives how many went."""
    db.execute(
        "INSERT OR IGNORE INTO pruned_days SELECT day, count(DISTINCT run_id) FROM calls WHERE day < ? GROUP BY day",
        (before,),
    )
    gone = db.execute(
        "DELETE FROM calls WHERE number IN (SELECT number FROM calls WHERE day < ? LIMIT ?)", (before, most)
    )
    return gone.rowcount


def days_before(db: sqlite3.Connection, before: str) -> list[str]:
    """The days of which there are calls."""
    return [day for (day,) in db.execute("SELECT DISTINCT day FROM calls WHERE day < ? ORDER BY day", (before,))]


def sums_of(db: sqlite3.Connection, day: str) -> tuple[int, list[DaySum]]:
    """How many runs the day had, and its sums."""
    (runs,) = db.execute("SELECT count(DISTINCT run_id) FROM calls WHERE day = ?", (day,)).fetchone()
    rows = db.execute(
        "SELECT kind, name, model, calls, failed, input, output, cache_write, cache_read, cost FROM daily"
        " WHERE day = ?",
        (day,),
    )
    return runs, rows.fetchall()


def add_sums(db: sqlite3.Connection, day: str, runs: int, sums: Sequence[DaySum]) -> None:
    """The sums of a day whose calls are pruned."""
    db.execute("INSERT OR IGNORE INTO pruned_days VALUES (?, ?)", (day, runs))
    _add(db, day, sums)
    keys = {PeriodKind.DAY: day, PeriodKind.MONTH: day[:7]}
    _spend(db, [(kind, name, period, key, row[-1]) for kind, name, *row in sums for period, key in keys.items()])


def clear(db: sqlite3.Connection) -> None:
    """Forget every call and every sum."""
    for table in ("calls", "daily", "spent", "pruned_days"):
        db.execute(f"DELETE FROM {table}")  # noqa: S608 - constants


def _add(db: sqlite3.Connection, day: str, sums: Sequence[DaySum]) -> None:
    db.executemany(
        "INSERT INTO daily VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " calls = calls + excluded.calls, failed = failed + excluded.failed, input = input + excluded.input,"
        " output = output + excluded.output, cache_write = cache_write + excluded.cache_write,"
        " cache_read = cache_read + excluded.cache_read, cost = cost + excluded.cost",
        [(kind, name, day, *rest) for kind, name, *rest in sums],
    )


def _spend(db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    db.executemany(
        "INSERT INTO spent VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET spent = spent + excluded.spent", rows
    )
