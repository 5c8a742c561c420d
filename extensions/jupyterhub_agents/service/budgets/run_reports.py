"""What the pages ask of the SQLite ledger about runs and agents."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ...store.paging import moment
from .ledger import SESSION_PAUSE_S, AgentSum, CallFilter, Lengths, RunSum, Sessions, sessions_of
from .reports import where_of

# The last bit of the largest number is whether the newest call did not fail: quicker than to look for that call.
_RUNS = """
    SELECT run_id, person, max(agent_id), min(started_at) AS began, max(started_at + duration_us) AS ended, count(*),
        sum(status NOT BETWEEN 200 AND 299),
        sum(input + output + cache_write_5m + cache_write_1h + cache_read), sum(cost),
        max(started_at * 2 + (status BETWEEN 200 AND 299)) & 1 AS good
    FROM calls WHERE run_id IS NOT NULL AND {where} GROUP BY run_id, person
"""

# A call begins a session when nothing of the person's was under way in the pause before it. What ended last before it
# is then the end of the session before.
_BEGINNINGS = """
    SELECT person, began, before FROM (
        SELECT person, started_at AS began, max(started_at + duration_us) OVER (
            PARTITION BY person ORDER BY started_at, number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before
        FROM calls WHERE {where}
    ) WHERE before IS NULL OR began - before > {pause} ORDER BY person, began DESC
"""


def runs(db: sqlite3.Connection, which: CallFilter, limit: int) -> Sequence[RunSum]:
    where, values = where_of(which)
    clause = " AND ".join(where)
    newest = db.execute(
        f"SELECT run_id FROM calls WHERE run_id IS NOT NULL AND {clause} ORDER BY started_at DESC, number DESC",  # noqa: S608 - constants
        values,
    )
    # Read only as far as needed: most calls are of runs that are not shown.
    found: dict[str, None] = {}
    for (run,) in newest:
        found[run] = None
        if len(found) == limit:
            break
    newest.close()
    marks = ", ".join("?" * len(found))
    rows = db.execute(
        f"{_RUNS.format(where=f'{clause} AND run_id IN ({marks})')} ORDER BY max(started_at) DESC", (*values, *found)
    )
    return [
        RunSum(run_id, person, agent, moment(began), moment(ended), calls, failed, tokens, cost, bool(good))
        for run_id, person, agent, began, ended, calls, failed, tokens, cost, good in rows
    ]


def agents(db: sqlite3.Connection, which: CallFilter, limit: int) -> Sequence[AgentSum]:
    where, values = where_of(which)
    rows = db.execute(
        "SELECT agent_id, person, count(DISTINCT run_id), count(*), sum(status NOT BETWEEN 200 AND 299), sum(cost),"  # noqa: S608 - constants
        " max(started_at), sum(input + output + cache_write_5m + cache_write_1h + cache_read)"
        f" FROM calls WHERE agent_id IS NOT NULL AND {' AND '.join(where)}"
        " GROUP BY agent_id, person ORDER BY max(started_at) DESC LIMIT ?",
        (*values, limit),
    )
    return [
        AgentSum(agent, person, runs, calls, failed, cost, moment(last), tokens)
        for agent, person, runs, calls, failed, cost, last, tokens in rows
    ]


def lengths(db: sqlite3.Connection, which: CallFilter, percentiles: Sequence[int]) -> Lengths:
    """The percentiles by nearest rank."""
    where, values = where_of(which)
    rows = db.execute(
        f"SELECT ended - began, good FROM ({_RUNS.format(where=' AND '.join(where))}) ORDER BY 1",  # noqa: S608 - constants
        values,
    ).fetchall()
    if not rows:
        return Lengths(0, 0)
    found = {percent: rows[max(0, -(-percent * len(rows) // 100) - 1)][0] / 1e6 for percent in percentiles}
    return Lengths(len(rows), sum(good for _, good in rows), found)


def sessions(db: sqlite3.Connection, which: CallFilter, percentiles: Sequence[int]) -> Sessions:
    where, values = where_of(which)
    clause = " AND ".join(where)
    ends = dict(
        db.execute(f"SELECT person, max(started_at + duration_us) FROM calls WHERE {clause} GROUP BY person", values)  # noqa: S608 - constants
    )
    lengths = []
    for person, began, before in db.execute(
        _BEGINNINGS.format(pause=SESSION_PAUSE_S * 1_000_000, where=clause), values
    ):
        lengths.append((ends[person] - began) / 1e6)
        ends[person] = before
    return sessions_of(lengths, percentiles)
