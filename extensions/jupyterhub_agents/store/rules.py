"""What every backend decides in the same way, in the same words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from ..errors import AlreadyExists, Conflict, InvalidInput, NotFound, SequenceGap, StaleRevision
from ..models import (
    MAX_MESSAGE,
    MAX_SHARES,
    Agent,
    AgentId,
    AgentSpec,
    Approval,
    Decision,
    Event,
    Model,
    RunChanges,
    RunId,
    Share,
    ShareAccess,
    ShareKind,
)
from .paging import microseconds

MAX_INTEGER = (1 << 63) - 1
"""The largest number that the databases hold."""

EventRow = tuple[int, int, str, str]
"""seq, time in microseconds, type, payload as JSON."""

EntryRow = tuple[str | None, str]
"""uuid, entry as JSON."""

M = TypeVar("M", bound=Model)

_REQUIRED = ("status", "usage", "turns")
_AGENT_ID: TypeAdapter[str] = TypeAdapter(AgentId)
_RUN_ID: TypeAdapter[str] = TypeAdapter(RunId)


# Agents


def is_agent_id(value: str) -> bool:
    return _is(_AGENT_ID, value)


def first_revision(spec: AgentSpec, agent_id: str, owner: str, now: datetime, revision: int = 1) -> Agent:
    """The revision that a new agent begins with. Raises InvalidInput when `agent_id` is none."""
    try:
        return Agent.from_spec(spec, id=agent_id, owner=owner, revision=revision, now=now)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInput(f"{'.'.join(map(str, problem['loc']))} is {problem['input']!r}: {problem['msg']}.") from None


def same_spec(one: AgentSpec, other: AgentSpec) -> bool:
    # As JSON, because Python takes 1, 1.0 and True for equal.
    return json.dumps(one.model_dump(mode="json"), sort_keys=True) == json.dumps(
        other.model_dump(mode="json"), sort_keys=True
    )


def agent_exists(agent_id: str) -> AlreadyExists:
    return AlreadyExists(f"There is already an agent {agent_id!r}: choose another id, or change that one.")


def unknown_agent(agent_id: str) -> NotFound:
    return NotFound(f"There is no agent {agent_id!r}.")


def unknown_revision(agent_id: str, revision: int) -> NotFound:
    return NotFound(f"There is no revision {revision} of an agent {agent_id!r}.")


def check_revision(agent_id: str, newest: int, named: int) -> None:
    """Raises StaleRevision when the one that a write names is not the newest."""
    if newest != named:
        raise StaleRevision(
            f"Agent {agent_id!r} is at revision {newest}, not {named}: read it again, then repeat your change.", newest
        )


def revision_exists(agent: Agent) -> AlreadyExists:
    return AlreadyExists(f"There is already another revision {agent.revision} of agent {agent.id!r}.")


def check_follows_revision(agent: Agent, newest: int) -> None:
    """Raises SequenceGap when an imported revision does not follow the agent's newest (0: there is none)."""
    if agent.revision != newest + 1:
        raise SequenceGap(
            f"Revision {agent.revision} of agent {agent.id!r} does not follow the newest, {newest}: import the "
            f"revisions from {newest + 1} on.",
            newest,
        )


# Shares


def check_share(owner: str, kind: ShareKind, name: str) -> None:
    """Raises InvalidInput for a name that nobody can have, and for the owner's own."""
    check_share_name(kind, name)
    if kind is ShareKind.PERSON and name == owner:
        raise InvalidInput(f"{name!r} is who the agent belongs to: name somebody else.")


def check_share_name(kind: ShareKind, name: str) -> None:
    """Raises InvalidInput for a name that nobody can have."""
    said = "person's" if kind is ShareKind.PERSON else "group's"
    if not 1 <= len(name) <= 255 or not name.isprintable() or name in (".", ".."):
        raise InvalidInput(f"{name[:50]!r} is no {said} name: give 1 to 255 letters, digits and signs.")


def shared_now(
    agent: Agent, before: Share | None, kind: ShareKind, name: str, access: ShareAccess, now: datetime
) -> Share:
    """The share of an agent (its newest revision) from now on, or the one from `before` with another access."""
    if before is not None:
        return before.model_copy(update={"access": access})
    return Share(
        owner=agent.owner, agent_id=agent.id, kind=kind, name=name, access=access, revision=agent.revision,
        created_at=now.astimezone(UTC),
    )  # fmt: skip


def check_room_for_share(agent_id: str, others: int) -> None:
    """Raises InvalidInput when an agent is shared with as many others as it can be."""
    if others >= MAX_SHARES:
        raise InvalidInput(
            f"Agent {agent_id!r} is shared with {others} people and groups, which is the most. Share it with a group "
            "instead, or end shares that are not used."
        )


def reach(shares: Sequence[Share]) -> tuple[ShareAccess, int]:
    """The most that shares of one agent with one person allow, and the first revision they show."""
    can_copy = any(share.access is ShareAccess.COPY for share in shares)
    return ShareAccess.COPY if can_copy else ShareAccess.USE, min(share.revision for share in shares)


def not_shared(owner: str, agent_id: str) -> NotFound:
    return NotFound(
        f"There is no agent {agent_id[:100]!r} of {owner[:100]!r} that is shared with you. If it was, it has been "
        f"withdrawn or deleted: ask {owner[:100]}."
    )


def not_shared_revision(owner: str, agent_id: str, revision: int) -> NotFound:
    return NotFound(
        f"Revision {revision} of {owner}'s agent {agent_id!r} is not shared with you: it is from before it was shared, "
        "or never was. Take the newest."
    )


def unknown_share(agent_id: str, kind: ShareKind, name: str) -> NotFound:
    return NotFound(f"Agent {agent_id!r} is not shared with the {kind.value} {name[:100]!r}.")


def other_than(owner: str, agent_owner: str | None) -> str | None:
    """Whose agent is meant, when it is not `owner`'s own."""
    return None if agent_owner == owner else agent_owner


# Runs


def is_run_id(value: str) -> bool:
    return _is(_RUN_ID, value)


def run_exists(run_id: str) -> AlreadyExists:
    return AlreadyExists(f"There is already a run {run_id!r}.")


def unknown_run(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.")


def check_changes(changes: RunChanges) -> None:
    """Raises InvalidInput for a change that no run can have."""
    for name in _REQUIRED:
        if name in changes.model_fields_set and getattr(changes, name) is None:
            raise InvalidInput(f"A run always has {name}: leave it out to keep it as it is.")
    if changes.turns is not None and changes.turns < 0:
        raise InvalidInput(f"turns is {changes.turns}: give 0 or more.")


# Events


def event_rows(run_id: str, events: Sequence[Event]) -> list[EventRow]:
    """Events as they are stored. Raises InvalidInput for ones that are another run's or do not follow each other."""
    rows: list[EventRow] = []
    for position, event in enumerate(events):
        if event.run_id != run_id:
            raise InvalidInput(f"Event {event.seq} is of run {event.run_id!r}, not of {run_id!r}.")
        if event.seq != events[0].seq + position:
            raise InvalidInput(
                f"Event {event.seq} does not follow event {events[position - 1].seq}: send them in order, "
                "without a gap."
            )
        try:
            payload = to_json(event.payload).decode()
        except PydanticSerializationError as error:
            # Half of a surrogate pair, which JSON in UTF-8 cannot carry.
            raise InvalidInput(f"The payload of event {event.seq} is not JSON: {error}") from None
        rows.append((event.seq, microseconds(event.time), event.type.value, payload))
    return rows


def check_follows(first: int, last: int) -> None:
    """Raises SequenceGap when events from `first` on leave a gap after the run's newest, `last`."""
    if first > last + 1:
        raise SequenceGap(
            f"Event {first} does not follow the run's newest, {last}: send the events from {last + 1} on.", last
        )


# Approvals


def waits(approval: Approval) -> bool:
    return approval.decision is None and not approval.closed


def decided(approval: Approval, decision: Decision, *, message: str | None, by: str, now: datetime) -> Approval:
    """The approval with what a person said. Raises Conflict when it does not wait any more, and InvalidInput for a
    message that is too long."""
    if approval.decision is not None:
        raise Conflict(
            f"Approval {approval.id!r} was decided already: {approval.decision.value!r}, by {approval.decided_by}."
        )
    if approval.closed:
        raise Conflict(f"Approval {approval.id!r} needs no decision any more: its run ended without one.")
    if message is not None and len(message) > MAX_MESSAGE:
        raise InvalidInput(f"message has {len(message)} characters: give at most {MAX_MESSAGE}.")
    return approval.model_copy(
        update={"decision": decision, "message": message, "decided_by": by, "decided_at": now.astimezone(UTC)}
    )


def delivered(approval: Approval, *, now: datetime) -> Approval:
    """The approval whose decision Claude Code is told now. Raises Conflict for one without, or told before."""
    if approval.decision is None:
        raise Conflict(f"Approval {approval.id!r} is not decided.")
    if approval.delivered_at is not None:
        raise Conflict(f"The decision of approval {approval.id!r} was delivered already.")
    return approval.model_copy(update={"delivered_at": now.astimezone(UTC)})


def goes_on(stored: Approval, imported: Approval) -> bool:
    """Whether an imported approval is a later state of the stored one; False for an equal or an earlier one. Raises
    Conflict when it is neither."""
    if imported == stored:
        return False
    if _states_before(imported, stored):
        return True
    if _states_before(stored, imported):
        return False
    raise Conflict(f"Approval {stored.id!r} went another way here: {_state(stored)}, not {_state(imported)}.")


def _states_before(later: Approval, earlier: Approval) -> bool:
    """Whether `earlier` is a state that `later` has been through."""
    undelivered = later.model_copy(update={"delivered_at": None})
    undecided = undelivered.model_copy(
        update={"decision": None, "message": None, "decided_by": None, "decided_at": None, "closed": False}
    )
    return later != earlier and earlier in (undelivered, undecided)


def _state(approval: Approval) -> str:
    if approval.decision is None:
        return "closed" if approval.closed else "waiting"
    return f"{approval.decision.value!r}, by {approval.decided_by}"


def approval_exists(approval_id: str) -> AlreadyExists:
    return AlreadyExists(f"There is already an approval {approval_id!r}.")


def unknown_approval(approval_id: str) -> NotFound:
    return NotFound(f"There is no approval {approval_id!r}.")


# Transcripts


def entry_rows(entries: Sequence[dict[str, Any]]) -> list[EntryRow]:
    """Entries of a transcript as they are stored. Raises InvalidInput for one that is not JSON."""
    rows: list[EntryRow] = []
    for position, entry in enumerate(entries):
        uuid = entry.get("uuid")
        try:
            rows.append((uuid if isinstance(uuid, str) else None, to_json(entry).decode()))
        except PydanticSerializationError as error:
            raise InvalidInput(f"Entry {position} of these is not JSON: {error}") from None
    return rows


# All


def in_utc(model: M) -> M:
    """`model` with its times in UTC."""
    times = {name: value.astimezone(UTC) for name, value in model if isinstance(value, datetime)}
    return model.model_copy(update=times)


def _is(adapter: TypeAdapter[str], value: str) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
