"""`AgentStore`: the contract that every place where agents, runs and events are kept fulfils.

The promises, each held by a named test of `jupyterhub_agents.testing.StoreContract`:

- Everything belongs to an owner, and every call names one. What is another's does not exist: `NotFound`. An agent that
  its owner shares can be read by those it is shared with, for as long as the share stands; nothing else of its owner's.
- A call that returned is durable; a call that raised changed nothing. A backend that cannot be reached
  or written raises `StoreUnavailable`, and works again when its cause is gone. A caller that is cancelled
  does not know whether its call was carried out, whole or not at all.
- Calls may run at once, from any number of tasks; each sees the others' as whole or not at all.
- Revisions never change. A write names the revision it was made from, and `StaleRevision` says it is not
  the newest any more. Of two writes from one revision exactly one succeeds.
- A run's events are numbered from 1 without a gap, in the order of their commits. Appending is
  idempotent: what is already stored under its number is passed over, so a writer that does not know
  whether its call arrived sends it again. One writer at a time writes to a run (its workspace).
- The fields of a run that change with its events are stored in the same commit.
- An approval is decided once: of two people who decide at the same moment the first wins. Its decision is delivered
  once too.
- A transcript gives back what was appended, in order; appending the same entry twice stores it once.
- Pages come newest first, except those of agents (by id) and events (by number); a page's `next` goes on
  exactly where it ended, whatever was added in between. A limit outside 1 to MAX_PAGE, or a cursor that no
  page gave, is `InvalidInput`.
- All that a person has here can be listed, deleted agents too, and stored in another store as it was: ids,
  numbers and times included (`store.transfer`). Only a transcript's mtime is the store's own.
- What is stored comes back equal: text with any character (except halves of surrogate pairs, which are
  `InvalidInput`), times to the microsecond and in UTC.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Any, Self

from ..models import (
    Agent,
    AgentSpec,
    Approval,
    Decision,
    Event,
    Page,
    Run,
    RunChanges,
    RunStatus,
    Share,
    ShareAccess,
    SharedAgent,
    ShareKind,
    TranscriptKey,
)

MAX_PAGE = 1_000
"""The largest page that may be asked for."""


class AgentStore(ABC):
    """Where agents, runs and events are kept. Open it before use: `async with store: ...`."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready, and bring older data up to date. Raises StoreUnavailable."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of everything. Closing twice is fine."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Agents and their revisions

    @abstractmethod
    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        """Store the first revision. Raises AlreadyExists when `owner` has an agent of that id, InvalidInput when
        it is no agent id. An id that was deleted may be used again; its revisions then go on counting, so that
        runs stay true."""

    @abstractmethod
    async def get_agent(self, owner: str, agent_id: str, revision: int | None = None) -> Agent:
        """The newest revision, or the one named. A named revision can be read after the agent was deleted,
        because runs refer to it. Raises NotFound."""

    @abstractmethod
    async def list_agents(
        self, owner: str, *, deleted: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        """The newest revisions, by id; `after` is the `next` of the page before. With `deleted` those of the agents
        that were deleted and not made again, instead of the others."""

    @abstractmethod
    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        """Store `spec` as the next revision after `revision`. A spec equal to the newest makes no new
        revision and returns the newest. Raises StaleRevision, NotFound."""

    @abstractmethod
    async def delete_agent(self, owner: str, agent_id: str, *, revision: int) -> None:
        """Take the agent out of the list, and end its shares. Its runs and revisions stay. Raises StaleRevision,
        NotFound."""

    @abstractmethod
    async def list_revisions(
        self, owner: str, agent_id: str, *, limit: int = 100, before: str | None = None
    ) -> Page[Agent]:
        """The revisions, newest first; `before` is the `next` of the page before. Those of a deleted agent, and of
        all that had its id before, are listed too. Raises NotFound for an id that never was."""

    @abstractmethod
    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        """Store a revision of another store as it was there: its owner, id, number and times. It becomes the newest;
        `deleted` says that the agent was deleted since. One that is stored already, equal, is passed over and changes
        nothing. Raises AlreadyExists when another one has its number, and SequenceGap (with the newest number as
        `last_seq`) when it does not follow the newest."""

    # Shares

    @abstractmethod
    async def share_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess) -> Share:
        """Share an agent from its newest revision on; with whom it is shared already, change what they may do. Whether
        there is such a person or group is not asked here. Raises NotFound, and InvalidInput for a name that nobody has,
        for the owner's own, and when it is shared with MAX_SHARES others."""

    @abstractmethod
    async def unshare_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
        """End a share. Raises NotFound when there is none such."""

    @abstractmethod
    async def list_shares(
        self, owner: str, agent_id: str, *, limit: int = 100, after: str | None = None
    ) -> Page[Share]:
        """With whom an agent is shared, by kind and name. Raises NotFound."""

    @abstractmethod
    async def import_share(self, share: Share) -> None:
        """Store a share of another store as it was there, with its revision and time, instead of one with the same
        person or group. Raises NotFound, and InvalidInput as `share_agent` does, except for the owner's own name, which
        does nothing: a person may have another name elsewhere."""

    @abstractmethod
    async def list_shared(
        self, person: str, groups: Collection[str], *, limit: int = 100, after: str | None = None
    ) -> Page[SharedAgent]:
        """The newest revisions of the agents that others share with `person`, or with a group of `groups`, by owner and
        id, each once with the most that any of its shares allows. A store behind the hub's service takes `groups` from
        the hub alone, whatever is said here."""

    @abstractmethod
    async def get_shared_agent(
        self, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None = None
    ) -> SharedAgent:
        """The newest revision of a shared agent, or the one named, as far back as it was shared. Raises NotFound, the
        same whether there is no such agent or it is not shared. `groups` as for `list_shared`."""

    # Runs

    @abstractmethod
    async def create_run(self, run: Run) -> None:
        """Store a new run, which has no events yet, with the status and times it has. Raises AlreadyExists when its
        owner has a run of that id, and InvalidInput when its `last_seq` is not 0."""

    @abstractmethod
    async def get_run(self, owner: str, run_id: str) -> Run:
        """Raises NotFound."""

    @abstractmethod
    async def list_runs(
        self,
        owner: str,
        *,
        agent_id: str | None = None,
        agent_owner: str | None = None,
        conversation_id: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Run]:
        """Runs, newest first; `before` is the `next` of the page before. A filter left out lets all through;
        an empty `statuses` lets none. `agent_id` means the owner's own agent, or that of `agent_owner`, who counts
        with an `agent_id` only."""

    # Events

    @abstractmethod
    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        """Store events that follow the run's newest, and `changes` to the run, in one commit. Events whose
        numbers are stored already are passed over; `changes` are applied all the same. `events` may be
        empty. Raises SequenceGap (with `last_seq`) when there is a gap before the first, NotFound, and InvalidInput
        when an event is of another run or does not follow the one before it in `events`."""

    @abstractmethod
    async def list_events(self, owner: str, run_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
        """Events with a number over `after`, in order, at most `limit`. Raises NotFound for an unknown run."""

    # Approvals

    @abstractmethod
    async def create_approval(self, approval: Approval) -> None:
        """Store a new approval as it is: it waits, or is decided or closed already. Raises AlreadyExists when its owner
        has an approval of that id, and NotFound when its owner has no such run."""

    @abstractmethod
    async def import_approval(self, approval: Approval) -> None:
        """Store an approval as another store has it now: a new one, or a later state of the one here (decided,
        delivered or closed since), times included. An equal or an earlier state is passed over. Raises Conflict when it
        went another way here, and NotFound when its owner has no such run."""

    @abstractmethod
    async def get_approval(self, owner: str, approval_id: str) -> Approval:
        """Raises NotFound."""

    @abstractmethod
    async def list_approvals(
        self,
        owner: str,
        *,
        run_id: str | None = None,
        waiting: bool | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Approval]:
        """Approvals, newest first (by `created_at`, then id); `before` is the `next` of the page before. `waiting`
        chooses those without a decision that are not closed, or with False the rest. A filter left out lets all
        through."""

    @abstractmethod
    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        """Store what a person said, and when, and give the decided approval. Of several at once exactly one succeeds;
        the others, and all who come later, get Conflict, whose message names what was decided and by whom. Raises
        Conflict for a closed one too, NotFound, and InvalidInput for a message that no approval can have."""

    @abstractmethod
    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        """Store that Claude Code is told of the decision, and when, and give the approval. Of several at once exactly
        one succeeds; the others, and all who come later, get Conflict: so an allowed call is let through once, also
        by servers that were killed in between. Raises Conflict for one that is not decided, and NotFound."""

    @abstractmethod
    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        """Close those of a run that wait, or only the one named, in one commit; gives how many there were (of an
        unknown run: 0). One that is decided at the same moment is either decided or closed, never both."""

    # Transcripts of Claude Code's sessions (the SDK's SessionStore)

    @abstractmethod
    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        """Add entries at the end, in order. One whose `uuid` (a string) this transcript has already is passed over,
        also within one call; those without a uuid are always added. No entries make no transcript. Raises
        InvalidInput for an entry that is not JSON."""

    @abstractmethod
    async def load_transcript(self, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
        """All entries in order, equal to what was appended; None when nothing ever was, or all was deleted."""

    @abstractmethod
    async def list_transcripts(self, owner: str, project_key: str) -> list[tuple[str, int]]:
        """`(session_id, mtime)` of each session of a project that has a main transcript (one without a subpath), in
        no particular order. mtime is when this store last added to it, in milliseconds since 1970."""

    @abstractmethod
    async def list_transcript_subpaths(self, owner: str, project_key: str, session_id: str) -> list[str]:
        """The subpaths that a session has transcripts of, in no particular order; "" is not one."""

    @abstractmethod
    async def list_transcript_keys(self, owner: str) -> list[TranscriptKey]:
        """The keys of all transcripts of all projects, in no particular order."""

    @abstractmethod
    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        """Delete one; without a subpath all of the session. One that is not there is no error."""

    # The store itself

    @abstractmethod
    async def check(self) -> None:
        """Raises StoreUnavailable unless the store can be read and written now. Changes nothing that anyone sees."""

    @abstractmethod
    async def owners(self) -> list[str]:
        """Everyone who has something here, if only a deleted agent or a transcript, by name (in the order of code
        points). It may still name someone whose transcripts were all deleted."""
