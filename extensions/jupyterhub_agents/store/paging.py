"""What a page may be asked for: limits and cursors, the same on every backend.

A cursor is opaque to its users; it names the last item they saw by what the list is sorted by, so that it stays
true whatever is added.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ..errors import InvalidInput
from ..models import Agent, Approval, Run, Share, ShareKind
from .base import MAX_PAGE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_CURSOR = re.compile(r"(-?[0-9]{1,18})\.([0-9a-f-]{36})", re.ASCII)
_REVISION_CURSOR = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_AGENT_CURSOR = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


def microseconds(time: datetime) -> int:
    """Whole microseconds since 1970 (UTC) of an aware time. Exact, which a float timestamp is not."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def moment(micros: int) -> datetime:
    """The inverse of `microseconds`, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def check_limit(limit: int) -> int:
    """`limit`, when it is one that may be asked for. Raises InvalidInput."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit is {limit}: ask for 1 to {MAX_PAGE} at a time.")
    return limit


def check_after(seq: int) -> int:
    """`seq`, when a list of events may begin after it. Raises InvalidInput."""
    if seq < 0:
        raise InvalidInput(f"after is {seq}: give the number of the last event seen, or 0 for all.")
    return seq


def agent_cursor(agent: Agent) -> str:
    return agent.id


def parse_agent_cursor(cursor: str | None) -> str:
    """The agent id to go on after; "" at the start. Raises InvalidInput."""
    if cursor is None:
        return ""
    if not _AGENT_CURSOR.fullmatch(cursor):
        raise _bad("after", cursor)
    return cursor


def revision_cursor(agent: Agent) -> str:
    return str(agent.revision)


def parse_revision_cursor(cursor: str | None) -> int | None:
    """The revision to go on before; None at the start. Raises InvalidInput."""
    if cursor is None:
        return None
    if not _REVISION_CURSOR.fullmatch(cursor):
        raise _bad("before", cursor)
    return int(cursor)


def share_cursor(share: Share) -> str:
    return f"{share.kind.value}/{share.name}"


def parse_share_cursor(cursor: str | None) -> tuple[str, str]:
    """The `(kind, name)` of the share to go on after; empty texts at the start. Raises InvalidInput."""
    if cursor is None:
        return "", ""
    kind, _, name = cursor.partition("/")
    if kind not in list(ShareKind) or not name:
        raise _bad("after", cursor)
    return kind, name


def shared_cursor(agent: Agent) -> str:
    return f"{agent.owner}/{agent.id}"


def parse_shared_cursor(cursor: str | None) -> tuple[str, str]:
    """The `(owner, agent id)` of the shared agent to go on after; empty texts at the start. Raises InvalidInput."""
    if cursor is None:
        return "", ""
    owner, _, agent_id = cursor.rpartition("/")
    if not owner or not _AGENT_CURSOR.fullmatch(agent_id):
        raise _bad("after", cursor)
    return owner, agent_id


def time_cursor(item: Run | Approval) -> str:
    return f"{microseconds(item.created_at)}.{item.id}"


def parse_time_cursor(cursor: str | None) -> tuple[int, str] | None:
    """The `(microseconds, id)` of the run or approval to go on before; None at the start. Raises InvalidInput."""
    if cursor is None:
        return None
    match = _TIME_CURSOR.fullmatch(cursor)
    if not match:
        raise _bad("before", cursor)
    return int(match[1]), match[2]


def _bad(name: str, cursor: str) -> InvalidInput:
    return InvalidInput(f"{name} is {cursor[:100]!r}, which no page of this list gave as `next`: start without it.")
