"""What is asked over all owners, in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime

from ...models import Approval, RunStatus, Trigger
from ..overview import LIVE, KnownAgent, LiveRun, WaitingCall
from ..paging import microseconds, moment

_LIVE = ", ".join("?" * len(LIVE))
# The inner query reads an index alone, where `status` stands in each entry; runs with their prompts are read only as
# far as they are shown.
_LIVE_RUNS = f"""
    SELECT owner, id, agent_id, status, trigger, created_at, started_at FROM runs
    WHERE number IN (SELECT number FROM runs INDEXED BY runs_newest WHERE status IN ({_LIVE}))
    ORDER BY created_at DESC, id DESC LIMIT ?
"""  # noqa: S608 - made of constants


def live_runs(connection: sqlite3.Connection, limit: int) -> Sequence[LiveRun]:
    rows = connection.execute(_LIVE_RUNS, (*map(str, LIVE), limit))
    return [
        LiveRun(
            owner, run_id, agent_id, RunStatus(status), Trigger(trigger), moment(created),
            None if started is None else moment(started),
        )
        for owner, run_id, agent_id, status, trigger, created, started in rows
    ]  # fmt: skip


def waiting_calls(connection: sqlite3.Connection, limit: int) -> Sequence[WaitingCall]:
    rows = connection.execute(
        "SELECT record FROM approvals WHERE waiting = 1 ORDER BY created_at DESC, id DESC LIMIT ?", (limit,)
    )
    found = (Approval.model_validate_json(record) for (record,) in rows)
    return [WaitingCall(one.owner, one.id, one.run_id, one.agent_id, one.tool, one.created_at) for one in found]


def known_agents(connection: sqlite3.Connection) -> Sequence[KnownAgent]:
    rows = connection.execute(
        "SELECT a.owner, a.id, json_extract(r.record, '$.created_at'), a.deleted FROM agents AS a JOIN revisions AS r"
        " ON r.owner = a.owner AND r.agent_id = a.id AND r.revision = a.revision ORDER BY a.owner, a.id"
    )
    return [
        KnownAgent(owner, agent_id, datetime.fromisoformat(created), bool(deleted))
        for owner, agent_id, created, deleted in rows
    ]


def run_outcomes(connection: sqlite3.Connection, since: datetime, until: datetime) -> Mapping[RunStatus, int]:
    rows = connection.execute(
        "SELECT status, count(*) FROM runs INDEXED BY runs_newest WHERE created_at >= ? AND created_at < ?"
        " GROUP BY status",
        (microseconds(since), microseconds(until)),
    )
    return {RunStatus(status): count for status, count in rows}
