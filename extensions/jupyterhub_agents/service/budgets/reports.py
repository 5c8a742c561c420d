"""What the pages ask of the SQLite ledger."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from ...errors import InvalidInput
from ...store.paging import microseconds, moment
from .ledger import Account, ActiveDay, Budget, CallFilter, CallPage, CallRecord, Change, Kind, Speed, UsageRow
from .periods import PeriodKind

COLUMNS = (
    "id", "started_at", "day", "person", "via", "run_id", "agent_id", "groups", "model", "input", "output",
    "cache_write_5m", "cache_write_1h", "cache_read", "server_tools", "cost", "status", "duration_us", "stream",
    "complete", "estimated",
)  # fmt: skip
"""Of the table `calls`, in the order of CallRecord's fields."""
_BY = {"day": "day", "month": "substr(day, 1, 7)", "model": "model", "name": "name"}
_CURSOR = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


def row_of(call: CallRecord) -> tuple[object, ...]:
    return (
        call.id, microseconds(call.started_at), call.day, call.person, call.via, call.run_id, call.agent_id,
        json.dumps(call.groups), call.model, call.input_tokens, call.output_tokens, call.cache_write_5m_tokens,
        call.cache_write_1h_tokens, call.cache_read_tokens, call.server_tool_requests, call.cost, call.status,
        call.duration_us, call.stream, call.complete, call.estimated,
    )  # fmt: skip


def parse_cursor(cursor: str | None) -> tuple[int, int] | None:
    """The `(microseconds, number)` of the call to go on before. Raises InvalidInput."""
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if not match:
        raise _bad(cursor)
    return int(match[1]), int(match[2])


def parse_number(cursor: str | None) -> int | None:
    """Raises InvalidInput."""
    if cursor is not None and not _NUMBER.fullmatch(cursor):
        raise _bad(cursor)
    return None if cursor is None else int(cursor)


def calls(db: sqlite3.Connection, which: CallFilter, limit: int, before: tuple[int, int] | None) -> CallPage:
    where, values = where_of(which)
    if before is not None:
        where.append("(started_at, number) < (?, ?)")
        values.extend(before)
    rows = db.execute(
        f"SELECT number, {', '.join(COLUMNS)} FROM calls WHERE {' AND '.join(where)}"  # noqa: S608 - constants
        " ORDER BY started_at DESC, number DESC LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    return CallPage([record_of(row[1:]) for row in rows], f"{rows[-1][2]}.{rows[-1][0]}" if more else None)


def speed(db: sqlite3.Connection, which: CallFilter, percentiles: Sequence[int]) -> Speed:
    """The percentiles by nearest rank, of the calls that did not fail."""
    where, values = where_of(which)
    clause = " AND ".join(where)
    total, good = db.execute(
        f"SELECT count(*), COALESCE(sum(status BETWEEN 200 AND 299), 0) FROM calls WHERE {clause}",  # noqa: S608 - constants
        values,
    ).fetchone()
    if not good:
        return Speed(total, total)
    found = {}
    for percent in percentiles:
        rank = max(0, -(-percent * good // 100) - 1)
        (duration,) = db.execute(
            f"SELECT duration_us FROM calls WHERE {clause} AND status BETWEEN 200 AND 299"  # noqa: S608 - constants
            " ORDER BY duration_us LIMIT 1 OFFSET ?",
            (*values, rank),
        ).fetchone()
        found[percent] = duration / 1e6
    return Speed(total, total - good, found)


def usage(
    db: sqlite3.Connection, by: Sequence[str], since: str, until: str, kind: Kind, name: str | None
) -> Sequence[UsageRow]:
    if not by or any(part not in _BY for part in by):
        raise InvalidInput(f"by is {','.join(by)!r}: give one or more of {', '.join(_BY)}.")
    keys = ", ".join(_BY[part] for part in by)
    values: list[object] = [kind, since, until]
    if name is not None:
        values.append(name)
    rows = db.execute(
        f"SELECT {keys}, sum(calls), sum(failed), sum(input), sum(output), sum(cache_write), sum(cache_read), sum(cost)"  # noqa: S608 - constants
        f" FROM daily WHERE kind = ? AND day BETWEEN ? AND ? {'' if name is None else 'AND name = ?'}"
        f" GROUP BY {keys} ORDER BY {keys}",
        values,
    )
    return [UsageRow(tuple(row[: len(by)]), *row[len(by) :]) for row in rows]


def spent(db: sqlite3.Connection, accounts: Collection[Account]) -> Mapping[Account, int]:
    query = "SELECT spent FROM spent WHERE kind = ? AND name = ? AND period = ? AND key = ?"
    rows = {account: db.execute(query, account).fetchone() for account in accounts}
    return {account: 0 if row is None else int(row[0]) for account, row in rows.items()}


def names(db: sqlite3.Connection, kind: Kind, keys: Collection[str]) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key in keys:
        for name, spent in db.execute("SELECT name, spent FROM spent WHERE kind = ? AND key = ?", (kind, key)):
            found.setdefault(name, {})[key] = spent
    return found


def activity(db: sqlite3.Connection, since: str, until: str, by: PeriodKind) -> Sequence[ActiveDay]:
    key = _BY[by]
    runs: Counter[str] = Counter()
    # Of days whose calls are dropped only each day's number is known: a run over midnight counts for both.
    for query in (
        f"SELECT {key}, count(DISTINCT run_id) FROM calls WHERE day BETWEEN ? AND ?"  # noqa: S608 - constants
        " AND day NOT IN (SELECT day FROM pruned_days) GROUP BY 1",
        f"SELECT {key}, sum(runs) FROM pruned_days WHERE day BETWEEN ? AND ? GROUP BY 1",  # noqa: S608 - constants
    ):
        runs.update(dict(db.execute(query, (since, until)).fetchall()))
    rows = db.execute(
        f"SELECT {key}, count(DISTINCT name), sum(calls), sum(cost) FROM daily"  # noqa: S608 - constants
        " WHERE kind = 'person' AND day BETWEEN ? AND ? GROUP BY 1 ORDER BY 1",
        (since, until),
    )
    return [ActiveDay(day, people, runs[day], count, cost) for day, people, count, cost in rows]


def changes(db: sqlite3.Connection, limit: int, before: int | None) -> tuple[Sequence[Change], str | None]:
    rows = db.execute(
        "SELECT number, at, by, kind, name, before, after FROM budget_changes WHERE number < ?"
        " ORDER BY number DESC LIMIT ?",
        (1 << 62 if before is None else before, limit + 1),
    ).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    found = [
        Change(moment(at), by, Kind(kind), name, _budget(old), _budget(new)) for _, at, by, kind, name, old, new in rows
    ]
    return found, str(rows[-1][0]) if more else None


def where_of(which: CallFilter) -> tuple[list[str], list[object]]:
    """The conditions that such calls fulfil, and their values."""
    where, values = ["1"], list[object]()
    if which.since is not None:
        where.append("started_at >= ?")
        values.append(microseconds(which.since))
    if which.until is not None:
        where.append("started_at < ?")
        values.append(microseconds(which.until))
    for column in ("person", "model", "run_id"):
        value = getattr(which, column)
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if which.group is not None:
        where.append("EXISTS (SELECT 1 FROM json_each(groups) AS member WHERE member.value = ?)")
        values.append(which.group)
    if which.failed is not None:
        where.append(f"status {'NOT ' if which.failed else ''}BETWEEN 200 AND 299")
    return where, values


def record_of(row: Sequence[object]) -> CallRecord:
    """The inverse of `row_of`."""
    fields: dict[str, object] = dict(zip(CallRecord.__dataclass_fields__, row, strict=True))
    fields["started_at"] = moment(int(str(fields["started_at"])))
    fields["groups"] = tuple(json.loads(str(fields["groups"])))
    for name in ("stream", "complete", "estimated"):
        fields[name] = bool(fields[name])
    return CallRecord(**fields)  # type: ignore[arg-type]  # The columns have the fields' types.


def _budget(text: str | None) -> Budget | None:
    return None if text is None else Budget(*json.loads(text))


def _bad(cursor: str) -> InvalidInput:
    return InvalidInput(f"before is {cursor[:100]!r}, which no page of this list gave as `next`: start without it.")
