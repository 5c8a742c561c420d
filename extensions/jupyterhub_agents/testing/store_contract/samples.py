"""What the contract's tests store, and how they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from ...errors import AgentsError
from ...ids import new_id, new_session_id
from ...models import (
    AgentSpec,
    Approval,
    Event,
    EventType,
    PermissionMode,
    Run,
    TranscriptKey,
    Trigger,
)
from ...store import AgentStore

Reopen = Callable[[], Awaitable[AgentStore]]
PageCall = Callable[..., Awaitable[Any]]
E = TypeVar("E", bound=AgentsError)

T0 = datetime(2026, 3, 29, 1, 59, 59, 999_999, tzinfo=UTC)
ODD_TEXT = 'nul \0, tab \t, line\r\nends, emoji 🧑‍🔬🇨🇭, combining é, right-to-left אב, U+2028 \u2028, "quotes" \\ '
OTHERS_GROUPS = ("readers", "/team/ü")
BAD_CURSORS = ("", "!", "next page", "0X10", "\0", "é", "9" * 5_000)


def spec(name: str = "Reviewer", **fields: Any) -> AgentSpec:
    return AgentSpec(name=name, **fields)


def full_spec() -> AgentSpec:
    """One in which every field has a value of its own."""
    return AgentSpec(
        name=ODD_TEXT[:100],
        description=ODD_TEXT,
        instructions=ODD_TEXT * 500,
        model="claude-opus[1m]",
        tools=["Read", "Bash(git diff:*)"],
        disallowed_tools=["WebFetch"],
        permission_mode=PermissionMode.PLAN,
        mcp_servers={"docs": {"command": "serve", "args": ["--deep", 1, 1.5, None, True]}},
        directory="agents/über/x",
        max_turns=12,
        max_budget_usd=0.1,
        timeout_s=1.25,
        front_matter={"color": "red", "nested": {"a": [1, {"b": ODD_TEXT}]}},
    )


def make_run(owner: str, number: int = 0, **fields: Any) -> Run:
    """A new run, `number` seconds after T0."""
    run_id = new_id()
    return Run(**{
        "id": run_id, "owner": owner, "agent_id": "reviewer", "agent_revision": 1, "trigger": Trigger.API,
        "prompt": f"Task {number}", "session_id": new_session_id(), "conversation_id": run_id,
        "created_at": T0 + timedelta(seconds=number), **fields,
    })  # fmt: skip


def make_events(run: Run, first: int, last: int, **payload: Any) -> list[Event]:
    """The events of `run` numbered from `first` to `last`."""
    return [
        Event(
            run_id=run.id, seq=seq, time=T0 + timedelta(microseconds=seq), type=EventType.MESSAGE,
            payload={"n": seq, **payload},
        )
        for seq in range(first, last + 1)
    ]  # fmt: skip


def make_approval(run: Run, number: int = 0, **fields: Any) -> Approval:
    """A tool call of `run` that waits, asked `number` seconds after T0."""
    return Approval(**{
        "id": new_id(), "owner": run.owner, "run_id": run.id, "agent_id": run.agent_id, "tool": "Bash",
        "input": {"command": f"step {number}"}, "created_at": T0 + timedelta(seconds=number), **fields,
    })  # fmt: skip


def differing(found: BaseModel, wanted: BaseModel) -> list[str]:
    """The names of the fields that differ. For records with long texts: pytest takes minutes to draw a difference of
    those."""
    return [name for name in type(wanted).model_fields if getattr(found, name) != getattr(wanted, name)]


def transcript_key(session_id: str = "session", subpath: str = "", project_key: str = "project") -> TranscriptKey:
    return TranscriptKey(project_key=project_key, session_id=session_id, subpath=subpath)


def make_entries(first: int, last: int, **fields: Any) -> list[dict[str, Any]]:
    """Entries of a transcript, with the numbers from `first` to `last` in their uuids."""
    return [{"type": "user", "uuid": f"uuid-{number}", "n": number, **fields} for number in range(first, last + 1)]


async def all_pages(call: PageCall, cursor_name: str) -> list[Any]:
    """The items of all pages of a list."""
    page = await call()
    return [*page.items, *await rest(call, cursor_name, page.next)]


async def rest(call: PageCall, cursor_name: str, cursor: str | None) -> list[Any]:
    """The items of the pages from `cursor` on."""
    items: list[Any] = []
    while cursor is not None:
        page = await call(**{cursor_name: cursor})
        assert page.items, "a page that follows another has items"
        items += page.items
        assert len(items) < 1_000, "the pages come to no end"
        cursor = page.next
    return items


async def refused(kind: type[E], *calls: Awaitable[Any]) -> list[E]:
    """The errors of calls that all raise that kind, made one after the other."""
    answers = [(await asyncio.gather(call, return_exceptions=True))[0] for call in calls]
    errors = [answer for answer in answers if type(answer) is kind]
    assert len(errors) == len(calls), f"not all raised {kind.__name__}: {answers}"
    return errors


async def outcomes(calls: Iterable[Awaitable[Any]]) -> tuple[list[Any], list[BaseException]]:
    """What calls made at once gave, and what they raised."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    return [answer for answer in answers if not isinstance(answer, BaseException)], failed


def ids(items: Iterable[Any]) -> list[str]:
    return [item.id for item in items]


def seqs(events: Iterable[Event]) -> list[int]:
    return [event.seq for event in events]
