"""What agents and runs look like from Python and in a notebook; what both clients' handles have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import SupportsIndex, TypeVar, overload

from pydantic import JsonValue

from ..models import (
    Agent,
    Approval,
    Decision,
    Run,
    RunError,
    RunStatus,
    Share,
    ShareAnswer,
    SharedAgent,
    agent_reference,
    shared_directory,
)
from .transcript import clean, describe_call, one_line, outcome

H = TypeVar("H", bound="AgentView | RunView | ApprovalView | ShareView")


class AgentView:
    """An agent as it was last seen: `record` is the whole definition, its common fields are here too. `reference` is
    what it is called here: its id, and for another person's OWNER/ID."""

    def __init__(self, record: Agent, reference: str | None = None) -> None:
        self.record = record
        self.reference = reference or record.id

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def description(self) -> str:
        return self.record.description

    @property
    def instructions(self) -> str:
        return self.record.instructions

    @property
    def revision(self) -> int:
        return self.record.revision

    @property
    def directory(self) -> str:
        """Where it works, relative to the person's home."""
        is_own = self.reference == self.record.id
        return self.record.working_directory if is_own else shared_directory(self.record.owner, self.record.id)

    def __repr__(self) -> str:
        return f"<agent {self.reference!r}, revision {self.revision}: {one_line(self.name)}>"

    def row(self) -> list[str]:
        return [self.reference, self.name, one_line(self.description), str(self.revision)]

    columns: tuple[str, ...] = ("agent", "name", "description", "revision")

    def _repr_html_(self) -> str:
        agent = self.record
        facts = {
            "agent": self.reference,
            "name": self.name,
            "description": self.description,
            "model": agent.model or "Claude Code's default",
            "tools": "all" if agent.tools is None else ", ".join(agent.tools),
            "works in": self.directory,
            "revision": str(self.revision),
        }
        return _facts(facts)


class SharedAgentView(AgentView):
    """An agent that somebody shares with the person: `owner` is who, `access` what they may do with it."""

    def __init__(self, shared: SharedAgent) -> None:
        super().__init__(shared.agent, agent_reference(shared.agent.owner, shared.agent.id))
        self.access = shared.access

    @property
    def owner(self) -> str:
        return self.record.owner

    def row(self) -> list[str]:
        return [*super().row(), self.access.value]

    columns = (*AgentView.columns, "access")


class ShareView:
    """With whom an agent is shared: `record` is all of it."""

    def __init__(self, record: Share) -> None:
        self.record = record

    @property
    def notice(self) -> str | None:
        """What to know of a share that was just made, such as of secrets."""
        return self.record.notice if isinstance(self.record, ShareAnswer) else None

    def __repr__(self) -> str:
        share = self.record
        return f"<{share.agent_id!r} shared with the {share.kind} {share.name!r} to {share.access}>"

    def row(self) -> list[str]:
        share = self.record
        return [share.agent_id, share.kind.value, share.name, share.access.value]

    columns = ("agent", "shared with", "name", "access")


class RunView:
    """A run as it was last seen: `record` is all of it, its common fields are here too."""

    def __init__(self, record: Run) -> None:
        self.record = record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def agent_id(self) -> str:
        return self.record.agent_id

    @property
    def agent(self) -> str:
        """What its agent is called: its id, and another person's OWNER/ID."""
        return self.record.agent

    @property
    def status(self) -> RunStatus:
        return self.record.status

    @property
    def prompt(self) -> str:
        return self.record.prompt

    @property
    def cost_usd(self) -> float:
        return self.record.usage.cost_usd

    @property
    def turns(self) -> int:
        return self.record.turns

    @property
    def error(self) -> RunError | None:
        return self.record.error

    @property
    def notice(self) -> str | None:
        """What to know of where the words come from, such as a demo model."""
        return self.record.notice

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.agent!r}: {outcome(self.record)}>"

    def row(self) -> list[str]:
        return [self.id, self.agent, one_line(self.prompt), outcome(self.record)]

    columns = ("run", "agent", "prompt", "status")

    def _repr_html_(self) -> str:
        run = self.record
        facts = {
            "run": run.id,
            "agent": f"{run.agent}, revision {run.agent_revision}",
            "prompt": one_line(run.prompt),
            "status": outcome(run),
            "error": run.error.message if run.error else "",
            "result": run.result or "",
            "notice": run.notice or "",
        }
        return _facts(facts)


class ApprovalView:
    """A tool call that waits for a person, or what they said, as it was last seen: `record` is all of it."""

    def __init__(self, record: Approval) -> None:
        self.record = record

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def run_id(self) -> str:
        return self.record.run_id

    @property
    def tool(self) -> str:
        return self.record.tool

    @property
    def input(self) -> dict[str, JsonValue]:
        """What the tool is called with, in full."""
        return self.record.input

    @property
    def rules(self) -> list[str]:
        """What allowing such calls always would allow. Empty when they are asked about each time."""
        return self.record.rules

    @property
    def decision(self) -> Decision | None:
        return self.record.decision

    @property
    def state(self) -> str:
        """How it stands, in a few words."""
        if self.decision is not None:
            return f"{'denied' if self.decision is Decision.DENY else 'allowed'} by {self.record.decided_by}"
        return "closed" if self.record.closed else "waits"

    @property
    def call(self) -> str:
        """The call in one line."""
        return describe_call({"name": self.tool, "input": self.input})

    def __repr__(self) -> str:
        return f"<approval {self.id}: {self.call}, {self.state}>"

    def row(self) -> list[str]:
        return [self.id, agent_reference(self.record.agent_owner, self.record.agent_id), self.call, self.state]

    columns = ("approval", "agent", "call", "status")

    def _repr_html_(self) -> str:
        facts = {
            "approval": self.id,
            "agent": agent_reference(self.record.agent_owner, self.record.agent_id),
            "tool": self.tool,
            "input": json.dumps(self.input, indent=2, ensure_ascii=False),
            "reason": self.record.reason or "",
            "always would allow": "\n".join(self.rules),
            "status": self.state,
            "message": self.record.message or "",
        }
        return _facts(facts)


class Listing(Sequence[H]):
    """A list that a notebook shows as a table."""

    def __init__(self, items: Iterable[H]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: SupportsIndex) -> H: ...
    @overload
    def __getitem__(self, index: slice) -> Listing[H]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> H | Listing[H]:
        return Listing(self._items[index]) if isinstance(index, slice) else self._items[index]

    def __repr__(self) -> str:
        return repr(self._items)

    def _repr_html_(self) -> str:
        if not self._items:
            return "<em>none</em>"
        head = "".join(f"<th>{escape(name)}</th>" for name in self._items[0].columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(clean(cell))}</td>" for cell in item.row()) + "</tr>" for item in self._items
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _facts(facts: dict[str, str]) -> str:
    """A small table of what is known; text stays text."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left;white-space:pre-wrap">{escape(clean(value))}</td></tr>'
        for name, value in facts.items()
        if value
    )
    return f"<table><tbody>{rows}</tbody></table>"
