"""Approvals, in SQL."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from ...models import Approval, Decision, Page
from .. import rules
from ..paging import microseconds, time_cursor
from .runs import position

_SELECT = "SELECT record FROM approvals WHERE owner = ? AND id = ?"


def create(connection: sqlite3.Connection, approval: Approval) -> None:
    approval = rules.in_utc(approval)
    position(connection, approval.owner, approval.run_id)
    if connection.execute(_SELECT, (approval.owner, approval.id)).fetchone():
        raise rules.approval_exists(approval.id)
    connection.execute(
        "INSERT INTO approvals (owner, id, run_id, created_at, waiting, record) VALUES (?, ?, ?, ?, ?, ?)",
        (
            approval.owner, approval.id, approval.run_id, microseconds(approval.created_at), rules.waits(approval),
            approval.model_dump_json(),
        ),
    )  # fmt: skip


def import_(connection: sqlite3.Connection, approval: Approval) -> None:
    approval = rules.in_utc(approval)
    row = connection.execute(_SELECT, (approval.owner, approval.id)).fetchone()
    if row is None:
        create(connection, approval)
    elif rules.goes_on(Approval.model_validate_json(row[0]), approval):
        _replace(connection, approval)


def get(connection: sqlite3.Connection, owner: str, approval_id: str) -> Approval:
    row = connection.execute(_SELECT, (owner, approval_id)).fetchone()
    if row is None:
        raise rules.unknown_approval(approval_id)
    return Approval.model_validate_json(row[0])


def list_(
    connection: sqlite3.Connection,
    owner: str,
    *,
    run_id: str | None,
    waiting: bool | None,
    limit: int,
    before: tuple[int, str] | None,
) -> Page[Approval]:
    where = ["owner = ?"]
    values: list[object] = [owner]
    if run_id is not None:
        where.append("run_id = ?")
        values.append(run_id)
    if waiting is not None:
        # Written out, because an index of a part is not chosen for a value that is bound later.
        where.append(f"waiting = {int(waiting)}")
    if before is not None:
        where.append("(created_at, id) < (?, ?)")
        values.extend(before)
    rows = connection.execute(
        f"SELECT record FROM approvals WHERE {' AND '.join(where)}"  # noqa: S608 - made of the constants above
        " ORDER BY created_at DESC, id DESC LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    items = [Approval.model_validate_json(record) for (record,) in rows[:limit]]
    return Page[Approval](items=items, next=time_cursor(items[-1]) if len(rows) > limit else None)


def decide(
    connection: sqlite3.Connection,
    owner: str,
    approval_id: str,
    decision: Decision,
    message: str | None,
    by: str,
    now: datetime,
) -> Approval:
    approval = get(connection, owner, approval_id)
    decided = rules.decided(approval, decision, message=message, by=by, now=now)
    _replace(connection, decided)
    return decided


def deliver(connection: sqlite3.Connection, owner: str, approval_id: str, now: datetime) -> Approval:
    delivered = rules.delivered(get(connection, owner, approval_id), now=now)
    _replace(connection, delivered)
    return delivered


def close(connection: sqlite3.Connection, owner: str, run_id: str, approval_id: str | None) -> int:
    rows = connection.execute(
        "SELECT record FROM approvals WHERE owner = ? AND run_id = ? AND waiting = 1", (owner, run_id)
    ).fetchall()
    waiting = [Approval.model_validate_json(record) for (record,) in rows]
    chosen = [approval for approval in waiting if approval_id in (None, approval.id)]
    for approval in chosen:
        _replace(connection, approval.model_copy(update={"closed": True}))
    return len(chosen)


def _replace(connection: sqlite3.Connection, approval: Approval) -> None:
    connection.execute(
        "UPDATE approvals SET waiting = ?, record = ? WHERE owner = ? AND id = ?",
        (rules.waits(approval), approval.model_dump_json(), approval.owner, approval.id),
    )
