"""All that one person has in a store: in one order that is the same on every backend, and compared with a file."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from ..errors import Conflict, NotFound
from ..models import Agent, Approval, Event, Page, Run, Share, TranscriptKey
from .base import AgentStore
from .exchange import AgentHead, Entry, Item, grouped

T = TypeVar("T")

_AT_ONCE = 100
"""An event may be of megabytes: this many are held in memory."""


async def batches(store: AgentStore, owner: str) -> AsyncGenerator[list[Item]]:
    """Everything of `owner`, in the order of the file, some at a time."""
    batch: list[Item] = []
    async with aclosing(_walk(store, owner)) as items:
        async for item in items:
            batch.append(item)
            if len(batch) >= _AT_ONCE:
                yield batch
                batch = []
    yield batch


async def _walk(store: AgentStore, owner: str) -> AsyncGenerator[Item]:
    for _, head in sorted((await _agents(store, owner)).items()):
        yield head
        for revision in range(1, head.revisions + 1):
            yield await store.get_agent(owner, head.id, revision)
        if not head.deleted:
            with suppress(NotFound):  # It may have been deleted since.
                async for share in _paged(partial(store.list_shares, owner, head.id), "after"):
                    yield share
    async for run in _paged(partial(store.list_runs, owner), "before"):
        yield run
        # Not further than the run says: the events after it belong to a later state of the run.
        for after in range(0, run.last_seq, _AT_ONCE):
            limit = min(_AT_ONCE, run.last_seq - after)
            for event in await store.list_events(owner, run.id, after=after, limit=limit):
                yield event
        async for approval in _paged(partial(store.list_approvals, owner, run_id=run.id), "before"):
            yield approval
    for key in sorted(await store.list_transcript_keys(owner), key=_in_order):
        entries = await store.load_transcript(owner, key)
        if entries is not None:  # It may have been deleted since.
            yield key
            for entry in entries:
                yield entry


async def _agents(store: AgentStore, owner: str) -> dict[str, AgentHead]:
    heads: dict[str, AgentHead] = {}
    # The first again at the end: one that was deleted, or made again, between the two would be in neither.
    for deleted in (True, False, True):
        async for agent in _paged(partial(store.list_agents, owner, deleted=deleted), "after"):
            heads.setdefault(agent.id, AgentHead(id=agent.id, revisions=agent.revision, deleted=deleted))
    return heads


async def _paged(call: Callable[..., Awaitable[Page[T]]], cursor: str) -> AsyncIterator[T]:
    page = await call()
    while True:
        for item in page.items:
            yield item
        if page.next is None:
            return
        page = await call(**{cursor: page.next})


def _in_order(key: TranscriptKey) -> tuple[str, str, str]:
    return key.project_key, key.session_id, key.subpath


class Comparison:
    """Whether what a person has in a store is a part of what a file holds, as an interrupted import leaves it."""

    def __init__(self, store: AgentStore, owner: str, path: Path) -> None:
        self._store = store
        self._owner = owner
        self._path = path
        self._agents: dict[str, AgentHead] = {}
        self._shares: dict[tuple[str, str, str], Share] = {}
        self._runs: set[str] = set()
        self._approvals: set[str] = set()
        self._transcripts: set[TranscriptKey] = set()
        # Of what is being compared.
        self._revisions = 0
        self._last_seq = 0
        self._entries: list[Entry] = []

    @classmethod
    async def begin(cls, store: AgentStore, owner: str, path: Path) -> Self | None:
        """None when the person has nothing."""
        self = cls(store, owner, path)
        self._agents = await _agents(store, owner)
        for head in self._agents.values():
            if not head.deleted:
                async for share in _paged(partial(store.list_shares, owner, head.id), "after"):
                    self._shares[share.agent_id, share.kind, share.name] = share
        self._runs = {run.id async for run in _paged(partial(store.list_runs, owner), "before")}
        self._approvals = {each.id async for each in _paged(partial(store.list_approvals, owner), "before")}
        self._transcripts = set(await store.list_transcript_keys(owner))
        return self if self._agents or self._runs or self._transcripts else None

    async def take(self, batch: list[Item]) -> None:
        """Compare the next items of the file. Raises Conflict."""
        for item in grouped(batch):
            if isinstance(item, AgentHead):
                self._agent(item)
            elif isinstance(item, Agent):
                if item.revision <= self._revisions:
                    stored = await self._store.get_agent(self._owner, item.id, item.revision)
                    self._must_equal(stored, item, f"revision {item.revision} of agent {item.id!r}")
            elif isinstance(item, Share):
                if (there := self._shares.pop((item.agent_id, item.kind, item.name), None)) is not None:
                    self._must_equal(there, item, f"a share of agent {item.agent_id!r}")
            elif isinstance(item, Run):
                await self._run(item)
            elif isinstance(item, Approval):
                if item.id in self._approvals:
                    self._approvals.remove(item.id)
                    stored_approval = await self._store.get_approval(self._owner, item.id)
                    self._must_equal(stored_approval, item, f"approval {item.id}")
            elif isinstance(item, TranscriptKey):
                await self._transcript(item)
            elif isinstance(item[0], Event):
                await self._events([event for event in item if isinstance(event, Event)])
            else:
                stored_entries, self._entries = self._entries[: len(item)], self._entries[len(item) :]
                same = _canonical(stored_entries) == _canonical(item[: len(stored_entries)])
                self._must_equal(same, True, "a transcript")

    def finish(self) -> None:
        """Raises Conflict when the store has something that the file has not."""
        self._must_equal(self._entries, [], "a transcript")
        for kind, ids in (("agent", self._agents), ("run", self._runs), ("approval", self._approvals)):
            for id in sorted(ids):
                raise self._conflict(f"{kind} {id}")
        for agent_id, kind, name in self._shares:
            raise self._conflict(f"a share of agent {agent_id!r} with the {kind} {name!r}")
        for key in self._transcripts:
            raise self._conflict(f"a transcript of session {key.session_id!r}")

    def _agent(self, head: AgentHead) -> None:
        stored = self._agents.pop(head.id, None)
        self._revisions = stored.revisions if stored is not None else 0
        whole = self._revisions == head.revisions
        if self._revisions > head.revisions or (stored is not None and whole and stored.deleted != head.deleted):
            raise self._conflict(f"agent {head.id!r}")

    async def _run(self, run: Run) -> None:
        self._last_seq = 0
        if run.id in self._runs:
            self._runs.remove(run.id)
            stored = await self._store.get_run(self._owner, run.id)
            self._last_seq = stored.last_seq
            # Its events come after it: there may be fewer.
            fewer = min(stored.last_seq, run.last_seq)
            self._must_equal(stored, run.model_copy(update={"last_seq": fewer}), f"run {run.id}")

    async def _events(self, events: list[Event]) -> None:
        expected = [event for event in events if event.seq <= self._last_seq]
        if expected:
            run_id, after = expected[0].run_id, expected[0].seq - 1
            stored = await self._store.list_events(self._owner, run_id, after=after, limit=len(expected))
            self._must_equal(stored, expected, f"run {run_id}")

    async def _transcript(self, key: TranscriptKey) -> None:
        self._must_equal(self._entries, [], "a transcript")
        if key in self._transcripts:
            self._transcripts.remove(key)
            self._entries = await self._store.load_transcript(self._owner, key) or []

    def _must_equal(self, stored: object, expected: object, what: str) -> None:
        if stored != expected:
            raise self._conflict(what)

    def _conflict(self, what: str) -> Conflict:
        return Conflict(
            f"{self._owner!r} has {what} in this store, which {self._path} does not hold as it is: import under a name "
            "that has nothing here yet."
        )


def _canonical(entries: list[Any]) -> str:
    return json.dumps(entries, sort_keys=True)
