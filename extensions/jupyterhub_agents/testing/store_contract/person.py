"""A person who has some of everything, to be moved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ...models import Decision, RunChanges, RunError, RunStatus, ShareAccess, ShareKind
from ...store import AgentStore
from .samples import ODD_TEXT, T0, full_spec, make_approval, make_entries, make_events, make_run, spec, transcript_key


async def fill(store: AgentStore, owner: str, events: int = 450) -> None:
    """Agents (one deleted, one made again after that), runs in several states, approvals, transcripts."""
    await store.create_agent(owner, "reviewer", full_spec())
    for revision in range(1, 4):
        await store.update_agent(owner, "reviewer", spec(f"Revision {revision + 1}"), revision=revision)
    await store.create_agent(owner, "deleted", spec())
    await store.update_agent(owner, "deleted", full_spec(), revision=1)
    await store.delete_agent(owner, "deleted", revision=2)
    await store.create_agent(owner, "again", spec())
    await store.delete_agent(owner, "again", revision=1)
    await store.create_agent(owner, "again", spec("Made again"))

    await store.share_agent(owner, "reviewer", ShareKind.GROUP, "readers", ShareAccess.COPY)
    await store.share_agent(owner, "again", ShareKind.PERSON, "grace.h", ShareAccess.USE)

    long, failed, waiting = (make_run(owner, number, prompt=ODD_TEXT) for number in range(3))
    await store.create_run(long)
    for first in range(1, events + 1, 150):
        await store.append_events(owner, long.id, make_events(long, first, min(first + 149, events), text=ODD_TEXT))
    await store.append_events(owner, long.id, [], RunChanges(status=RunStatus.SUCCEEDED, result=ODD_TEXT, turns=9))
    await store.create_run(failed)
    changes = RunChanges(
        status=RunStatus.FAILED, error=RunError(code="timeout", message=ODD_TEXT), finished_at=T0 + timedelta(days=1)
    )
    odd: dict[str, Any] = {"numbers": [1, 1.0, True, 2**70, 1.5e300], "": {"": None}}
    await store.append_events(owner, failed.id, make_events(failed, 1, 1, **odd), changes)
    await store.create_run(waiting)

    for number in range(3):
        await store.create_approval(make_approval(failed, number, input=odd, reason=ODD_TEXT))
    (newest, *_) = (await store.list_approvals(owner)).items
    await store.decide_approval(owner, newest.id, Decision.DENY, message=ODD_TEXT, by="grace")
    await store.close_approvals(owner, failed.id)
    await store.create_approval(make_approval(waiting))
    await store.create_run(make_run(owner, 3, agent_owner="alan"))

    mark = {"type": "mode"}
    for session, subpath, count in (("one", "", 700), ("one", "subagents/agent-1", 3), ("two/é", "only-this", 1)):
        entries = make_entries(1, count, text=ODD_TEXT, odd=odd)
        await store.append_transcript(owner, transcript_key(session, subpath), [mark, *entries, mark])
