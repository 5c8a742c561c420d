"""A session's calls, in documents that are written once, numbered from 0 without a gap.

Calls that settle within a moment share a document. An entry whose answer was lost is written again as it was, under the
same number: its token shows whether it was stored. Whoever buries the session ends the log by an entry of their own, so
no call comes after what they counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from ....errors import AgentsError, StoreUnavailable
from ....store.firestore.database import ConflictingCommit, Create, Database
from ....store.firestore.layout import new_token
from .layout import Layout, Settled, pack_calls
from .sessions import Buried, Session

GATHER_S = 0.1
"""For so long calls that settle wait for others. Nobody waits for them: the caller has the whole answer."""
MOST_CALLS = 400
"""In one entry. A call is at most some 3 KB (names of models and people are bounded), so an entry stays under 900 KB
also unpacked only in part: packed it is a tenth."""
CLOSE_LIMIT_S = 5.0


@dataclass(eq=False)
class _Item:
    settled: Settled
    stored: asyncio.Future[list[int]]


@dataclass(eq=False)
class _Entry:
    number: int
    items: list[_Item]
    packed: bytes
    token: str = field(default_factory=new_token)


class Log:
    """Adds to the log of one session. `on_stored` hears the number of each entry that is stored."""

    def __init__(
        self, database: Database, layout: Layout, session: Session, on_stored: Callable[[str, int], None]
    ) -> None:
        self._database = database
        self._layout = layout
        self._session = session
        self._on_stored = on_stored
        self._waiting: list[_Item] = []
        self._doubtful: _Entry | None = None
        self._missed: dict[str, list[int]] = {}
        self._writing: asyncio.Task[None] | None = None

    @property
    def is_writing(self) -> bool:
        return self._writing is not None

    @property
    def is_certain(self) -> bool:
        """Whether all that was ever sent is known to be stored."""
        return self._doubtful is None and not self._waiting

    async def add(self, settled: Settled) -> list[int]:
        """What was drawn for the call, of each account, once it is stored. Raises Buried, and StoreUnavailable; then
        the same call may be added again."""
        if (drawn := self._missed.pop(settled[0].id, None)) is not None:
            return drawn
        item = self._doubted(settled)
        if item is None:
            item = _Item(settled, asyncio.get_running_loop().create_future())
            self._waiting.append(item)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="ledger log")
        return await asyncio.shield(item.stored)

    async def close(self) -> None:
        """Store what waits, for a while."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=CLOSE_LIMIT_S)
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    def _doubted(self, settled: Settled) -> _Item | None:
        for item in self._doubtful.items if self._doubtful is not None else ():
            if item.settled[0].id == settled[0].id:
                if item.stored.done():
                    item.stored = asyncio.get_running_loop().create_future()
                return item
        return None

    async def _write(self) -> None:
        try:
            while self._doubtful is not None or self._waiting:
                if self._doubtful is None:
                    await asyncio.sleep(GATHER_S)
                    items, self._waiting = self._waiting[:MOST_CALLS], self._waiting[MOST_CALLS:]
                    self._doubtful = _Entry(self._session.last + 1, items, pack_calls([i.settled for i in items]))
                await self._store(self._doubtful)
                self._doubtful = None
        except (Buried, AgentsError) as error:
            entry = self._doubtful
            self._fail([*(entry.items if entry else ()), *self._waiting], error)
            self._waiting = []
            if not isinstance(error, StoreUnavailable):
                self._doubtful = None
        finally:
            self._writing = None

    async def _store(self, entry: _Entry) -> None:
        ref = self._layout.entry(self._session.id, entry.number)
        days = [item.settled[0].day for item in entry.items]
        fields = {"number": entry.number, "token": entry.token, "calls": entry.packed, "last_day": max(days)}
        try:
            await self._database.commit([Create(ref, fields, size=len(entry.packed))])
        except ConflictingCommit:
            there = await self._database.get(ref)
            if there is None or there.get("token") != entry.token:
                raise Buried from None
        drawn = self._session.settled(entry.number, [(item.settled[0].cost, item.settled[1]) for item in entry.items])
        self._on_stored(self._session.id, entry.number)
        for item, amounts in zip(entry.items, drawn, strict=True):
            if item.stored.done():  # Whoever waited was told that it failed, and may come again.
                self._missed[item.settled[0].id] = amounts
            else:
                item.stored.set_result(amounts)

    @staticmethod
    def _fail(items: list[_Item], error: Exception) -> None:
        for item in items:
            if not item.stored.done():
                item.stored.set_exception(error)
                item.stored.exception()  # Whoever waited may have gone.
