"""The ledger in one SQLite file, which several processes of one machine may share."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from ...store.paging import microseconds
from ...store.sqlite.file import SQLiteFile
from . import books, reports, run_reports
from .ledger import (
    Account,
    ActiveDay,
    AgentSum,
    Ask,
    Budget,
    BudgetTable,
    CallFilter,
    CallPage,
    CallRecord,
    Change,
    Grant,
    Kind,
    Leased,
    Ledger,
    Lengths,
    RunSum,
    Sessions,
    Speed,
    UsageRow,
)
from .periods import PeriodKind
from .schema import LEDGER

PRUNED_AT_ONCE = 2_000
"""Calls that one commit drops, so that no settlement waits for long."""
_ACCOUNT = "kind = ? AND name = ? AND period = ? AND key = ?"


class SQLiteLedger(Ledger):
    """What `Ledger` says, in a file that only its owner may read (0600). Each call that changes something is durable
    when it returns (WAL, synchronous=FULL); calls that wait at the same time share one commit."""

    def __init__(self, path: Path) -> None:
        self._file = SQLiteFile(path, LEDGER)

    async def open(self) -> None:
        await self._file.open()

    async def close(self) -> None:
        await self._file.close()

    async def check(self) -> None:
        await self._file.write(lambda db: None)

    async def settle(self, replica: str, call: CallRecord, accounts: Sequence[Account]) -> Sequence[int] | None:
        return await self._file.write(lambda db: _settle(db, replica, call, accounts))

    async def lease(self, replica: str, asks: Sequence[Ask], now: datetime, until: datetime) -> Leased:
        times = microseconds(now), microseconds(until)
        return await self._file.write(lambda db: _lease(db, replica, asks, *times))

    async def renew(self, replica: str, now: datetime, until: datetime) -> bool:
        times = microseconds(now), microseconds(until)
        return await self._file.write(lambda db: _hold(db, replica, *times, new=False))

    async def give_back(self, replica: str, amounts: Mapping[Account, int | None] | None = None) -> None:
        await self._file.write(lambda db: _give_back(db, replica, amounts))

    async def prune(self, before: str) -> int:
        dropped = 0
        while gone := await self._file.write(lambda db: books.prune(db, before, PRUNED_AT_ONCE)):
            dropped += gone
        return dropped

    async def budgets(self, known: int = -1) -> BudgetTable | None:
        return await self._file.read(lambda db: _budgets(db, known))

    async def set_budget(self, kind: Kind, name: str, budget: Budget | None, by: str, at: datetime) -> None:
        await self._file.write(lambda db: _set_budget(db, kind, name, budget, by, microseconds(at)))

    async def changes(self, limit: int, before: str | None = None) -> tuple[Sequence[Change], str | None]:
        start = reports.parse_number(before)
        return await self._file.read(lambda db: reports.changes(db, limit, start))

    async def spent(self, accounts: Collection[Account]) -> Mapping[Account, int]:
        return await self._file.read(lambda db: reports.spent(db, accounts))

    async def names(self, kind: Kind, keys: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        return await self._file.read(lambda db: reports.names(db, kind, keys))

    async def usage(
        self, by: Sequence[str], since: str, until: str, kind: Kind = Kind.HUB, name: str | None = None
    ) -> Sequence[UsageRow]:
        return await self._file.read(lambda db: reports.usage(db, by, since, until, kind, name))

    async def calls(self, which: CallFilter, limit: int, before: str | None = None) -> CallPage:
        start = reports.parse_cursor(before)
        return await self._file.read(lambda db: reports.calls(db, which, limit, start))

    async def speed(self, which: CallFilter, percentiles: Sequence[int] = (50, 90, 99)) -> Speed:
        return await self._file.read(lambda db: reports.speed(db, which, percentiles))

    async def activity(self, since: str, until: str, by: PeriodKind) -> Sequence[ActiveDay]:
        return await self._file.read(lambda db: reports.activity(db, since, until, by))

    async def runs(self, which: CallFilter, limit: int) -> Sequence[RunSum]:
        return await self._file.read(lambda db: run_reports.runs(db, which, limit))

    async def agents(self, which: CallFilter, limit: int) -> Sequence[AgentSum]:
        return await self._file.read(lambda db: run_reports.agents(db, which, limit))

    async def lengths(self, which: CallFilter, percentiles: Sequence[int] = (50, 90)) -> Lengths:
        return await self._file.read(lambda db: run_reports.lengths(db, which, percentiles))

    async def sessions(self, which: CallFilter, percentiles: Sequence[int] = (50, 90)) -> Sessions:
        return await self._file.read(lambda db: run_reports.sessions(db, which, percentiles))


def _settle(
    db: sqlite3.Connection, replica: str, call: CallRecord, accounts: Sequence[Account]
) -> Sequence[int] | None:
    if not books.record(db, call, accounts):
        return None
    if not call.cost:
        return [0] * len(accounts)
    return [_draw(db, replica, account, call.cost) for account in accounts]


def _draw(db: sqlite3.Connection, replica: str, account: Account, cost: int) -> int:
    row = db.execute(f"SELECT amount FROM leases WHERE {_ACCOUNT} AND replica = ?", (*account, replica)).fetchone()  # noqa: S608 - a constant
    if row is None:
        return 0
    drawn: int = min(row[0], cost)
    db.execute(
        f"UPDATE leases SET amount = amount - ? WHERE {_ACCOUNT} AND replica = ?",  # noqa: S608 - a constant
        (drawn, *account, replica),
    )
    return drawn


def _lease(db: sqlite3.Connection, replica: str, asks: Sequence[Ask], now: int, until: int) -> Leased:
    known = _hold(db, replica, now, until, new=True)
    return Leased(lapsed=not known, grants=[_grant(db, replica, ask) for ask in asks])


def _hold(db: sqlite3.Connection, replica: str, now: int, until: int, *, new: bool) -> bool:
    """Whether the replica still held its leases. With `new` it begins anew when it did not."""
    db.execute("DELETE FROM replicas WHERE expires_at <= ?", (now,))
    known = db.execute("UPDATE replicas SET expires_at = ? WHERE id = ?", (until, replica)).rowcount > 0
    if new and not known:
        db.execute("INSERT INTO replicas VALUES (?, ?)", (replica, until))
    return known


def _grant(db: sqlite3.Connection, replica: str, ask: Ask) -> Grant:
    account = ask.account
    row = db.execute("SELECT day, month FROM budgets WHERE kind = ? AND name = ?", account[:2]).fetchone()
    limit = ask.default if row is None else Budget(*row).of(account.period)
    spent = reports.spent(db, [account])[account]
    (held,) = db.execute(f"SELECT COALESCE(sum(amount), 0) FROM leases WHERE {_ACCOUNT}", account).fetchone()  # noqa: S608 - a constant
    if limit is None:
        return Grant(0, None, spent, held)
    room = limit - spent - held
    granted = min(room, max(ask.want, ask.least)) if room >= ask.least else 0
    granted = max(granted, 0)
    if granted:
        db.execute(
            "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
            (*account, replica, granted),
        )
    return Grant(granted, limit, spent, held + granted)


def _give_back(db: sqlite3.Connection, replica: str, amounts: Mapping[Account, int | None] | None) -> None:
    if amounts is None:
        db.execute("DELETE FROM replicas WHERE id = ?", (replica,))
        return
    for account, amount in amounts.items():
        whose = (*account, replica)
        if amount is not None:
            db.execute(
                f"UPDATE leases SET amount = max(0, amount - ?) WHERE {_ACCOUNT} AND replica = ?",  # noqa: S608 - constant
                (amount, *whose),
            )
        else:
            db.execute(f"DELETE FROM leases WHERE {_ACCOUNT} AND replica = ?", whose)  # noqa: S608 - a constant


def _budgets(db: sqlite3.Connection, known: int) -> BudgetTable | None:
    (version,) = db.execute("SELECT COALESCE(max(number), 0) FROM budget_changes").fetchone()
    if version == known:
        return None
    rows = db.execute("SELECT kind, name, day, month FROM budgets")
    return BudgetTable(version, {(Kind(kind), name): Budget(day, month) for kind, name, day, month in rows})


def _set_budget(db: sqlite3.Connection, kind: Kind, name: str, budget: Budget | None, by: str, at: int) -> None:
    before = db.execute("SELECT day, month FROM budgets WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    if budget is None:
        db.execute("DELETE FROM budgets WHERE kind = ? AND name = ?", (kind, name))
    else:
        db.execute("REPLACE INTO budgets VALUES (?, ?, ?, ?)", (kind, name, budget.day, budget.month))
    after = None if budget is None else [budget.day, budget.month]
    db.execute(
        "INSERT INTO budget_changes (at, by, kind, name, before, after) VALUES (?, ?, ?, ?, ?, ?)",
        (at, by, kind, name, *(None if value is None else json.dumps(value) for value in (before, after))),
    )
