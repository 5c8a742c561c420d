"""Transcripts of Claude Code's sessions, in documents that are written once.

A transcript is a head, which says that it is there and where, and a log of chunks with its entries, numbered from 0.
Deleting the head deletes the transcript; a new one under the same key gets a log of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from google.cloud.firestore_v1.base_query import FieldFilter
from pydantic_core import from_json

from ...errors import StoreUnavailable
from ...models import TranscriptKey
from .. import rules
from .database import (
    ATTEMPTS,
    MAX_COMMIT_WRITES,
    ConflictingCommit,
    Create,
    Database,
    Delete,
    Snapshot,
    too_many_conflicts,
)
from .layout import digest, new_token
from .packing import arrays, pack_arrays, unpack

log = logging.getLogger(__name__)

_KEPT = 200
"""Transcripts whose state is remembered while nothing is added to them."""

_PAGE = 50
"""Chunks read at once; each is up to 900 KB."""

_NO_UUID = "#"

_READ_AT_ONCE = 20
_PARSE_IN_THREAD = 200_000


@dataclass(slots=True)
class _State:
    """What is known of a transcript's log."""

    token: str
    """Of the head; another one means another transcript under the same key."""
    next: int = 0
    """The number of the next chunk."""
    mtime: int = 0
    uuids: set[str] = field(default_factory=set)
    """Digests of the uuids that it has."""


@dataclass(slots=True)
class _Writer:
    state: _State | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class TranscriptWriters:
    """Adds to transcripts, and remembers what uuids they have, so that a call need not read them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writers: OrderedDict[tuple[str, TranscriptKey], _Writer] = OrderedDict()

    async def append(self, owner: str, key: TranscriptKey, rows: Sequence[rules.EntryRow], now: int) -> None:
        """Store those of `rows` that are new; `now` is in milliseconds since 1970."""
        writer = self._writers.setdefault((owner, key), _Writer())
        self._writers.move_to_end((owner, key))
        async with writer.lock:
            for _ in range(ATTEMPTS):
                try:
                    state = await self._state(writer, owner, key)
                    writer.state = None
                    writer.state = await self._append(state, owner, key, rows, now)
                except ConflictingCommit:
                    continue
                break
            else:
                raise too_many_conflicts("this transcript")
        while len(self._writers) > _KEPT:
            self._writers.popitem(last=False)

    async def _state(self, writer: _Writer, owner: str, key: TranscriptKey) -> _State | None:
        """What the transcript is like; None when there is none."""
        # Read each time: somebody may have deleted it, and what is added to a log without a head is lost.
        head = await self._database.get(self._database.layout.transcript(owner, key))
        if head is None:
            return None
        token = head.get("token")
        if writer.state is not None and writer.state.token == token:
            return writer.state
        state = _State(token)
        for chunk in await _chunks(self._database, owner, token, ["number", "mtime", "uuids"]):
            state.next = chunk.get("number") + 1
            state.mtime = max(state.mtime, chunk.get("mtime"))
            state.uuids.update(chunk.get("uuids"))
        return state

    async def _append(
        self, before: _State | None, owner: str, key: TranscriptKey, rows: Sequence[rules.EntryRow], now: int
    ) -> _State:
        layout, token = self._database.layout, new_token()
        state = before or _State(token)
        new: dict[str, str] = {}
        for position, (uuid, text) in enumerate(rows):
            name = digest(uuid) if uuid is not None else f"{_NO_UUID}{position}"
            if name not in state.uuids:
                new.setdefault(name, text)
        if not new:
            return state
        groups = list(arrays(list(new.values())))
        names = iter(new)
        # A clock that was set back does not make the session older.
        mtime = max(now, state.mtime)
        chunks: list[Create] = []
        parts: list[Create] = []
        packed = pack_arrays(layout, owner, [text for _, text in groups])
        for number, ((count, _), entries) in enumerate(zip(groups, packed, strict=True), state.next):
            uuids = [name for _, name in zip(range(count), names, strict=False) if not name.startswith(_NO_UUID)]
            fields = {"number": number, "token": token, "mtime": mtime, "uuids": uuids, "entries": entries.value}
            ref = layout.transcript_chunk(owner, state.token, number)
            chunks.append(Create(ref, fields, size=entries.size + 41 * len(uuids)))
            parts += entries.parts
        heads = [] if before else [self._head(owner, key, token)]
        await self._database.commit([*heads, *chunks], parts)
        return _State(
            state.token, state.next + len(chunks), mtime, state.uuids | {n for n in new if not n.startswith(_NO_UUID)}
        )

    def _head(self, owner: str, key: TranscriptKey, token: str) -> Create:
        fields = {
            "token": token, "key": key.model_dump(), "project": digest(key.project_key),
            "session": digest(key.project_key, key.session_id), "main": not key.subpath,
        }  # fmt: skip
        return Create(self._database.layout.transcript(owner, key), fields)


async def load(database: Database, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
    for _ in range(ATTEMPTS):
        head = await database.get(database.layout.transcript(owner, key))
        if head is None:
            return None
        chunks = await _chunks(database, owner, head.get("token"))
        # Whoever deletes removes the head first, then the chunks from the first on.
        if not chunks or chunks[0].get("number") != 0:
            continue
        texts = await unpack(database, owner, [chunk.get("entries") for chunk in chunks])
        if sum(map(len, texts)) > _PARSE_IN_THREAD:
            return await asyncio.to_thread(_parse, texts)
        return _parse(texts)
    raise too_many_conflicts("this transcript")


async def list_(database: Database, owner: str, project_key: str) -> list[tuple[str, int]]:
    heads = await database.query(
        database.layout.transcripts(owner)
        .where(filter=FieldFilter("project", "==", digest(project_key)))
        .where(filter=FieldFilter("main", "==", True))
    )
    gate = asyncio.Semaphore(_READ_AT_ONCE)

    async def session(head: Snapshot) -> list[tuple[str, int]]:
        newest = database.layout.transcript_log(owner, head.get("token")).order_by("number", direction="DESCENDING")
        async with gate:
            chunks = await database.query(newest.select(["mtime"]).limit(1))
        return [(_key(head).session_id, chunk.get("mtime")) for chunk in chunks]

    return [found for each in await asyncio.gather(*map(session, heads)) for found in each]


async def list_subpaths(database: Database, owner: str, project_key: str, session_id: str) -> list[str]:
    heads = await _of_session(database, owner, project_key, session_id)
    return [subpath for head in heads if (subpath := _key(head).subpath)]


async def list_keys(database: Database, owner: str) -> list[TranscriptKey]:
    return [_key(head) for head in await database.query(database.layout.transcripts(owner).select(["key"]))]


async def delete(database: Database, owner: str, key: TranscriptKey) -> None:
    if key.subpath:
        head = await database.get(database.layout.transcript(owner, key))
        heads = [] if head is None else [head]
    else:
        heads = await _of_session(database, owner, key.project_key, key.session_id)
    for start in range(0, len(heads), MAX_COMMIT_WRITES):
        await database.commit([Delete(head.reference) for head in heads[start : start + MAX_COMMIT_WRITES]])
    try:
        for head in heads:
            await _clear(database, owner, head.get("token"))
    except StoreUnavailable as error:
        # It is deleted, as far as anyone can see: no reason to say that the call failed.
        log.warning("documents of a deleted transcript are left behind: %s", error.message)


async def _clear(database: Database, owner: str, token: str) -> None:
    """Remove a log whose head is gone."""
    chunks = await _chunks(database, owner, token, ["number", "entries.token", "entries.parts"])
    writes = [Delete(chunk.reference) for chunk in chunks]
    for chunk in chunks:
        entries = (chunk.to_dict() or {}).get("entries") or {}
        writes += [
            Delete(database.layout.part(owner, entries["token"], number)) for number in range(entries.get("parts", 0))
        ]
    for start in range(0, len(writes), MAX_COMMIT_WRITES):
        await database.commit(writes[start : start + MAX_COMMIT_WRITES])


async def _of_session(database: Database, owner: str, project_key: str, session_id: str) -> list[Snapshot]:
    session = FieldFilter("session", "==", digest(project_key, session_id))
    return await database.query(database.layout.transcripts(owner).where(filter=session))


async def _chunks(database: Database, owner: str, token: str, fields: Sequence[str] | None = None) -> list[Snapshot]:
    """All chunks of a log, in order; of each only `fields`, when they are named (`number` must be one)."""
    query = database.layout.transcript_log(owner, token).order_by("number").limit(_PAGE)
    if fields is not None:
        query = query.select(fields)
    chunks: list[Snapshot] = []
    while True:
        after = chunks[-1].get("number") if chunks else -1
        page = await database.query(query.where(filter=FieldFilter("number", ">", after)))
        chunks += page
        if len(page) < _PAGE:
            return chunks


def _key(head: Snapshot) -> TranscriptKey:
    return TranscriptKey.model_validate(head.get("key"))


def _parse(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [entry for text in texts for entry in from_json(text)]
