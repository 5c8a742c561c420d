"""Moving a person: everything they have in one store, as one file, into any other store.

What is copied is what the contract shows: agents with all revisions (those of deleted agents too) and with whom they
are shared, runs, events, approvals and transcripts, each as it was, with its ids, numbers and times. `exchange` says
what the file looks like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import AlreadyExists, Conflict, InvalidInput
from ..ids import Clock, utcnow
from ..models import Agent, Approval, Event, Run, Share, TranscriptKey
from . import exchange
from .base import AgentStore
from .exchange import AgentHead, Counts, End, Entry, Item, grouped
from .inventory import Comparison, batches

T = TypeVar("T")

Progress = Callable[[str, Counts], None]
"""Called now and then with what is being done ("exporting", "checking", "comparing", "importing" or "verifying") and
how much of it is done."""

_EVENTS_AT_ONCE = 100
"""An event may be of megabytes: a page of them is what is held in memory."""


async def export(
    store: AgentStore, owner: str, path: Path, *, progress: Progress | None = None, clock: Clock = utcnow
) -> End:
    """Write everything of `owner` to a new file, which only this user may read. Gives the counts and the digest.

    The store may be in use: what was there at the beginning is in the file, each run with the events that belong to
    its state. Raises InvalidInput when the file exists or cannot be written, StoreUnavailable. A file that did not come
    to its end is taken away.
    """
    writer = exchange.Writer(path)
    try:
        await _in_thread(writer.open, owner, clock())
        async with aclosing(batches(store, owner)) as exported:
            async for batch in exported:
                await _in_thread(writer.write, batch)
                _tell(progress, "exporting", writer.tally.counts)
        return await _in_thread(writer.finish)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}. Name another place, or make room.") from error
    finally:
        await _in_thread(writer.discard)


async def load(store: AgentStore, owner: str, path: Path, *, progress: Progress | None = None) -> End:
    """Store everything of a file as `owner`'s, and verify it there. Gives the counts and the digest.

    The whole file is checked before anything is written. `owner` must have nothing in this store, except what an
    import of the same file that was interrupted left: it then goes on. Raises InvalidInput for a file that is not
    whole and unaltered, Conflict when `owner` has anything else, StoreUnavailable.
    """
    end = await _each(path, owner, _ignore, partial(_tell, progress, "checking"))
    comparison = await Comparison.begin(store, owner, path)
    if comparison is not None:
        await _each(path, owner, comparison.take, partial(_tell, progress, "comparing"))
        comparison.finish()
    await _each(path, owner, _Importer(store, owner).take, partial(_tell, progress, "importing"))
    stored = await digest(store, owner, progress=progress)
    if stored != end:
        raise Conflict(
            f"What {owner!r} has in this store now is not what {path} holds ({stored.counts} instead of "
            f"{end.counts}): somebody else wrote to it during the import. Stop them, and import again."
        )
    return stored


async def inspect(path: Path, *, progress: Progress | None = None) -> tuple[str, End]:
    """Whose things a file has, and its counts and digest, once all of it was checked. Raises InvalidInput."""
    try:
        owner = await _in_thread(exchange.owner_of, path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    return owner, await _each(path, owner, _ignore, partial(_tell, progress, "checking"))


async def digest(store: AgentStore, owner: str, *, progress: Progress | None = None) -> End:
    """The counts and the digest that an export of `owner` would have now."""
    tally = exchange.Tally()
    async with aclosing(batches(store, owner)) as stored:
        async for batch in stored:
            await _in_thread(tally.add_items, batch)
            _tell(progress, "verifying", tally.counts)
    return tally.end


# Into a store


async def _each(
    path: Path, owner: str, take: Callable[[list[Item]], Awaitable[None]], tell: Callable[[Counts], None]
) -> End:
    """Read the file from beginning to end, and have each batch taken. Raises InvalidInput."""
    tally = exchange.Tally()
    batches = exchange.read(path, owner, tally)
    try:
        while (batch := await _in_thread(next, batches, None)) is not None:
            await take(batch)
            tell(tally.counts)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
    finally:
        await _in_thread(batches.close)
    return tally.end


async def _ignore(batch: list[Item]) -> None:
    """For a reading that only checks the file."""


class _Importer:
    """Stores items in the order of the file. What is there already is passed over: it was compared before."""

    def __init__(self, store: AgentStore, owner: str) -> None:
        self._store = store
        self._owner = owner
        self._head: AgentHead | None = None
        self._key: TranscriptKey | None = None
        self._stored = 0
        """How many more entries of the transcript are there already."""

    async def take(self, batch: list[Item]) -> None:
        for item in grouped(batch):
            if isinstance(item, AgentHead):
                self._head = item
            elif isinstance(item, Agent):
                await self._revision(item)
            elif isinstance(item, Share):
                await self._store.import_share(item)
            elif isinstance(item, Run):
                await _unless_there(self._store.create_run(item.model_copy(update={"last_seq": 0})))
            elif isinstance(item, Approval):
                await _unless_there(self._store.create_approval(item))
            elif isinstance(item, TranscriptKey):
                self._key = item
                self._stored = len(await self._store.load_transcript(self._owner, item) or ())
            elif isinstance(item[0], Event):
                await self._store.append_events(self._owner, item[0].run_id, item)
            else:
                await self._entries(item)

    async def _revision(self, agent: Agent) -> None:
        head = self._head
        if head is None or head.id != agent.id:
            raise InvalidInput(f"Revision {agent.revision} of agent {agent.id!r} does not stand under its agent.")
        await self._store.import_revision(agent, deleted=head.deleted and agent.revision == head.revisions)

    async def _entries(self, entries: list[Entry]) -> None:
        if self._key is None:
            raise InvalidInput("There is an entry that does not stand under a transcript.")
        new = entries[self._stored :]
        self._stored = max(self._stored - len(entries), 0)
        if new:
            await self._store.append_transcript(self._owner, self._key, new)


async def _unless_there(call: Awaitable[None]) -> None:
    with suppress(AlreadyExists):
        await call


# Threads


async def _in_thread(call: Callable[..., T], *arguments: Any) -> T:
    """What a call that blocks gives. One that is cancelled is waited for: it holds the file, and is short."""
    calling = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(calling)
    except asyncio.CancelledError:
        await asyncio.wait([calling])
        raise


def _tell(progress: Progress | None, doing: str, counts: Counts) -> None:
    if progress is not None:
        progress(doing, counts)
