"""Reading and committing, with limits on time and size, and what passes by itself tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from google.cloud.firestore_v1 import AsyncClient, AsyncDocumentReference, DocumentSnapshot
from google.cloud.firestore_v1.async_query import AsyncQuery

from ...errors import StoreUnavailable, TooLarge
from .failures import CONFLICTS, PASSING, explain
from .layout import Layout

T = TypeVar("T")
Snapshot = DocumentSnapshot[AsyncDocumentReference]

MAX_DOCUMENT_BYTES = 900_000
"""Firestore's limit is 1 MiB (1,048,576), field names and 32 bytes a document included."""

MAX_COMMIT_BYTES = 3_500_000
"""Firestore takes requests of 10 MiB, its emulator of 4 MiB."""

MAX_COMMIT_WRITES = 400
"""Firestore counts index entries too, and cuts off at 10 MiB for all; small commits stay far from every limit."""

_OVERHEAD = 400
"""Bytes that a document adds to its texts: names of fields, numbers, its path."""

_READ_AT_ONCE = 100
_FIRST_PAUSE = 0.05
_LAST_PAUSE = 1.0

ATTEMPTS = 20
"""How often a call that meets conflicts begins anew. Each conflict means that somebody else's write succeeded."""


class ConflictingCommit(Exception):
    """A document that should be new is there already, or one was changed since it was read. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Create:
    """A new document. The commit fails when it is there already."""

    ref: AsyncDocumentReference
    fields: Mapping[str, Any]
    size: int = field(default=0, kw_only=True)
    """Bytes of its texts."""


@dataclass(frozen=True, slots=True)
class Replace:
    """A document instead of the one that was read. The commit fails when it was changed since `seen`."""

    ref: AsyncDocumentReference
    fields: Mapping[str, Any]
    seen: datetime
    size: int = field(default=0, kw_only=True)


@dataclass(frozen=True, slots=True)
class Delete:
    """A document to remove; one that is not there is no error."""

    ref: AsyncDocumentReference
    size: int = field(default=0, init=False)


Write = Create | Replace | Delete


class Database:
    """One Firestore database, called `place` in messages. A call waits up to `timeout` seconds for Firestore, all its
    attempts together, and then raises StoreUnavailable."""

    def __init__(self, client: AsyncClient, place: str, timeout: float) -> None:
        self.layout = Layout(client)
        self._client = client
        self._place = place
        self._timeout = timeout

    async def get(self, ref: AsyncDocumentReference) -> Snapshot | None:
        """The document, or None."""
        return (await self.get_all([ref])).get(ref.id)

    async def get_all(self, refs: Sequence[AsyncDocumentReference]) -> dict[str, Snapshot]:
        """Those of the documents that are there, by id; the ids must differ."""
        found: dict[str, Snapshot] = {}
        for start in range(0, len(refs), _READ_AT_ONCE):
            group = list(refs[start : start + _READ_AT_ONCE])

            async def read(seconds: float, group: list[AsyncDocumentReference] = group) -> list[Snapshot]:
                return [document async for document in self._client.get_all(group, retry=None, timeout=seconds)]

            found |= {document.id: document for document in await self._attempt(read) if document.exists}
        return found

    async def query(self, query: AsyncQuery) -> list[Snapshot]:
        async def read(seconds: float) -> list[Snapshot]:
            return [document async for document in query.stream(retry=None, timeout=seconds)]

        return await self._attempt(read)

    async def count(self, query: AsyncQuery) -> int:
        """How many documents it has, without reading them (Firestore's "Summarize data with aggregation queries")."""

        async def read(seconds: float) -> int:
            counting = query.count()
            ((result,),) = await counting.get(retry=None, timeout=seconds)  # type: ignore[call-arg]  # a decorator hides self
            return int(result.value)

        return await self._attempt(read)

    async def owner_keys(self) -> list[str]:
        """The ids of all owner documents. None is ever written; one exists as far as something stands below it."""

        async def read(seconds: float) -> list[str]:
            owners = self.layout.owners().list_documents(page_size=300, retry=None, timeout=seconds)
            return [owner.id async for owner in owners]

        return await self._attempt(read)

    async def commit(self, writes: Sequence[Write], parts: Sequence[Create] = ()) -> None:
        """Write all of `writes` or none. `parts` are documents that nobody looks for before `writes` stand; as far as
        they do not fit in, they are written before.

        When one of them depends on what is there, the first of `writes` does too, and sets the field `token`, which
        shows whether an attempt whose answer was lost was carried out. Raises ConflictingCommit, TooLarge.
        """
        if len(writes) > MAX_COMMIT_WRITES or _bytes(writes) > MAX_COMMIT_BYTES:
            raise TooLarge(
                f"This is {len(writes)} documents and {_bytes(writes):,} bytes at once, over Firestore's limit. "
                "Store less at once."
            )
        if len(writes) + len(parts) <= MAX_COMMIT_WRITES and _bytes(writes) + _bytes(parts) <= MAX_COMMIT_BYTES:
            writes = [*writes, *parts]
        else:
            for group in _groups(parts):
                await self._commit(group)
        await self._commit(writes)

    async def _commit(self, writes: Sequence[Write]) -> None:
        answer_lost = False

        async def write(seconds: float) -> None:
            nonlocal answer_lost
            try:
                await self._batch(writes).commit(retry=None, timeout=seconds)
            except PASSING:
                answer_lost = True
                raise
            except CONFLICTS as error:
                if answer_lost and await self._is_written(writes[0], seconds):
                    return
                raise ConflictingCommit from error

        await self._attempt(write)

    def _batch(self, writes: Sequence[Write]) -> Any:
        batch = self._client.batch()
        for write in writes:
            match write:
                case Create():
                    batch.create(write.ref, dict(write.fields))
                case Replace():
                    batch.update(write.ref, dict(write.fields), self._client.write_option(last_update_time=write.seen))
                case Delete():
                    batch.delete(write.ref)
        return batch

    async def _is_written(self, write: Write, seconds: float) -> bool:
        if isinstance(write, Delete):
            return False
        document = await write.ref.get(retry=None, timeout=seconds)
        return bool(document.exists and document.get("token") == write.fields["token"])

    async def _attempt(self, call: Callable[[float], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        pause = _FIRST_PAUSE
        while True:
            try:
                return await call(max(deadline - loop.time(), _FIRST_PAUSE))
            except PASSING as error:
                # Spread, so that those who failed together do not come back together.
                pause = min(pause * 2, _LAST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - no secret
                if loop.time() + pause > deadline:
                    raise explain(self._place, error) from error
                await asyncio.sleep(pause)
            except Exception as error:
                explained = explain(self._place, error)
                if explained is error:
                    raise
                raise explained from error


def too_many_conflicts(what: str) -> StoreUnavailable:
    return StoreUnavailable(f"Others write to {what} all the time: try again.")


def _bytes(writes: Sequence[Write]) -> int:
    return sum(write.size + _OVERHEAD for write in writes)


def _groups(parts: Sequence[Create]) -> list[list[Create]]:
    groups: list[list[Create]] = [[]]
    for part in parts:
        if len(groups[-1]) == MAX_COMMIT_WRITES or _bytes([*groups[-1], part]) > MAX_COMMIT_BYTES:
            groups.append([])
        groups[-1].append(part)
    return groups
