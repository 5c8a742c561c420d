"""Runs, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from datetime import datetime
from typing import Any

from ...models import Page, Run, RunChanges, RunError, RunStatus, RunUsage
from .. import rules
from ..paging import microseconds, moment, time_cursor
from .events import LAST_SEQ

_COLUMNS = (
    "owner", "id", "agent_id", "agent_revision", "trigger", "status", "session_id", "conversation_id", "continues",
    "created_at", "started_at", "finished_at", "turns", "usage", "error", "notice", "prompt", "result", "agent_owner",
)  # fmt: skip
# Made of the constants above; values are always bound.
# The names of columns, not values.
_INSERT = f"INSERT INTO runs ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_SELECT = f"SELECT {', '.join(_COLUMNS)}, {LAST_SEQ} FROM runs"  # noqa: S608
_POSITION = f"SELECT number, {LAST_SEQ} FROM runs WHERE owner = ? AND id = ?"  # noqa: S608


def create(connection: sqlite3.Connection, run: Run) -> None:
    if connection.execute("SELECT 1 FROM runs WHERE owner = ? AND id = ?", (run.owner, run.id)).fetchone():
        raise rules.run_exists(run.id)
    connection.execute(_INSERT, tuple(_to_column(getattr(run, name)) for name in _COLUMNS))


def get(connection: sqlite3.Connection, owner: str, run_id: str) -> Run:
    row = connection.execute(f"{_SELECT} WHERE owner = ? AND id = ?", (owner, run_id)).fetchone()
    if row is None:
        raise rules.unknown_run(run_id)
    return _from_row(row)


def position(connection: sqlite3.Connection, owner: str, run_id: str) -> tuple[int, int]:
    """The run's number in this file, and the number of its newest event. Raises NotFound."""
    row: tuple[int, int] | None = connection.execute(_POSITION, (owner, run_id)).fetchone()
    if row is None:
        raise rules.unknown_run(run_id)
    return row


def list_(
    connection: sqlite3.Connection,
    owner: str,
    *,
    agent_id: str | None,
    agent_owner: str | None,
    conversation_id: str | None,
    statuses: Collection[RunStatus] | None,
    limit: int,
    before: tuple[int, str] | None,
) -> Page[Run]:
    where, values = ["owner = ?"], [owner]  # type: tuple[list[str], list[Any]]
    if conversation_id is not None:
        where.append("conversation_id = ?")
        values.append(conversation_id)
    if agent_id is not None:
        # A conversation is short: with one given, its index is the better.
        plus = "" if conversation_id is None else "+"
        where.append(f"{plus}agent_id = ? AND {plus}agent_owner IS ?")
        values += [agent_id, agent_owner]
    if statuses is not None:
        where.append(f"status IN ({', '.join('?' * len(statuses))})")
        values.extend(str(status) for status in statuses)
    if before is not None:
        where.append("(created_at, id) < (?, ?)")
        values.extend(before)
    rows = connection.execute(
        f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY created_at DESC, id DESC LIMIT ?", (*values, limit + 1)
    ).fetchall()
    items = [_from_row(row) for row in rows[:limit]]
    return Page[Run](items=items, next=time_cursor(items[-1]) if len(rows) > limit else None)


def change(connection: sqlite3.Connection, number: int, changes: RunChanges) -> None:
    names = sorted(changes.model_fields_set)
    if names:
        connection.execute(
            f"UPDATE runs SET {', '.join(f'{name} = ?' for name in names)} WHERE number = ?",  # noqa: S608 - field names
            (*(_to_column(getattr(changes, name)) for name in names), number),
        )


def _to_column(value: Any) -> Any:
    if isinstance(value, datetime):
        return microseconds(value)
    if isinstance(value, RunUsage | RunError):
        return value.model_dump_json()
    return value


def _from_row(row: tuple[Any, ...]) -> Run:
    fields = dict(zip(_COLUMNS, row, strict=False))
    for name in ("created_at", "started_at", "finished_at"):
        if fields[name] is not None:
            fields[name] = moment(fields[name])
    fields["usage"] = RunUsage.model_validate_json(fields["usage"])
    if fields["error"] is not None:
        fields["error"] = RunError.model_validate_json(fields["error"])
    return Run(**fields, last_seq=row[-1])
