"""`Transcripts`: the SDK's SessionStore over the AgentStore, so that a session goes on where its files are not."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from claude_agent_sdk import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStore,
    SessionStoreEntry,
    SessionStoreListEntry,
    project_key_for_directory,
)

from ..errors import AgentsError, StoreUnavailable
from ..models import TranscriptKey
from ..store import AgentStore
from .recorder import without_half_characters

log = logging.getLogger(__name__)

BATCH = 500
TAIL = 1 << 20
CATCH_UP_S = 60.0
"""How long the end of a run may wait until the store has its transcript."""
PAUSE_S = 1.0
METADATA = "agent_metadata"
"""What a subagent is: an entry that the SDK makes, of the file beside the subagent's transcript."""


class Transcripts(SessionStore):
    """The transcripts of one person, for `ClaudeAgentOptions.session_store`.

    The errors are the store's. The SDK tries an append that failed again, which the store takes without repeating an
    entry that has a uuid. `list_session_summaries` is left to the SDK's own way through `list_sessions` and `load`:
    nothing here asks for it often enough to keep a second record of each session.
    """

    def __init__(self, store: AgentStore, owner: str) -> None:
        self._store = store
        self._owner = owner

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        await self._store.append_transcript(self._owner, _ours(key), cast("list[dict[str, Any]]", entries))

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        return cast("list[SessionStoreEntry] | None", await self._store.load_transcript(self._owner, _ours(key)))

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        listed = await self._store.list_transcripts(self._owner, project_key)
        return [{"session_id": session_id, "mtime": mtime} for session_id, mtime in listed]

    async def delete(self, key: SessionKey) -> None:
        await self._store.delete_transcript(self._owner, _ours(key))

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        return await self._store.list_transcript_subpaths(self._owner, key["project_key"], key["session_id"])


class Mirror(Transcripts):
    """The transcripts of one session, for the CLI that works in it; `config` is the CLI's configuration folder.

    The SDK drops what could not be appended after three attempts, and appends what follows. Here nothing follows: a
    transcript that missed something stays a beginning of the CLI's file until `catch_up` has added the rest in order.
    So `append` never fails: the CLI's own files have everything, and the run goes on.
    """

    def __init__(self, store: AgentStore, owner: str, *, config: Path, directory: Path, session_id: str) -> None:
        super().__init__(store, owner)
        self._projects = config / "projects"
        self._main = TranscriptKey(project_key=project_key_for_directory(directory), session_id=session_id)
        self._newest: dict[TranscriptKey, str | None] = {self._main: None}
        """The last uuid that was appended to each transcript."""
        self._behind: set[TranscriptKey] = set()

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        ours = _ours(key)
        if ours in self._behind:
            return
        try:
            await super().append(key, entries)
        except AgentsError as error:
            self._behind.add(ours)
            log.warning("a transcript waits for the store: %s", error.message)
        except asyncio.CancelledError:
            # The SDK waits a minute at most. Whether the entries came to be stored is found out later.
            self._behind.add(ours)
            raise
        else:
            newest = _newest_uuid(cast("list[dict[str, Any]]", entries))
            self._newest[ours] = newest or self._newest.get(ours)

    async def find_missing(self) -> bool:
        """Whether the store may lack something of what the CLI has written, which it does to its last moment."""
        for key, newest in self._newest.items():
            if key not in self._behind and await asyncio.to_thread(_last_uuid, self._file(key)) not in (None, newest):
                self._behind.add(key)
        if self._main in self._behind:
            # Of a subagent that was only beginning the SDK may have told nothing yet.
            self._behind.update(await asyncio.to_thread(_subagents, self._projects, self._main))
        return bool(self._behind)

    async def catch_up(self, within: float = CATCH_UP_S) -> None:
        """Append what is missing, once the CLI writes no more. While the store is away it is tried again, for at most
        `within` seconds. Raises AgentsError, OSError."""
        deadline = asyncio.get_running_loop().time() + within
        while self._behind:
            key = next(iter(self._behind))
            try:
                stored = await self._store.load_transcript(self._owner, key) or []
                await add_missing(self._store, self._owner, key, self._file(key), stored)
            except StoreUnavailable:
                if asyncio.get_running_loop().time() + PAUSE_S > deadline:
                    raise
                await asyncio.sleep(PAUSE_S)
            else:
                self._behind.discard(key)
                self._newest[key] = await asyncio.to_thread(_last_uuid, self._file(key))

    def _file(self, key: TranscriptKey) -> Path:
        return _file(self._projects, key)


async def add_missing(
    store: AgentStore, owner: str, key: TranscriptKey, path: Path, stored: list[dict[str, Any]]
) -> int:
    """Append to the store's copy of a transcript, `stored`, what the CLI's file has after it. Gives the number of
    entries. Raises AgentsError, OSError.

    The SDK's `import_session_to_store` would read the file in the event loop, and store the entries that have no uuid
    twice."""
    missing = await asyncio.to_thread(_missing, path, stored)
    for first in range(0, len(missing), BATCH):
        await store.append_transcript(owner, key, missing[first : first + BATCH])
    return len(missing)


async def restore(store: AgentStore, owner: str, *, config: Path, directory: Path, session_id: str) -> None:
    """Make the CLI's own files of a session as the store has them, where they are missing or older: in a home that was
    lost, or that another pod worked with. The CLI and the terminal's `claude --resume` then find the session.

    What the SDK would do, resuming from a temporary configuration folder, leaves nothing behind for the terminal.
    Where the files are ahead, because the server was killed or the store was away, the store gets what it lacks.
    `config` is the CLI's configuration folder. Raises AgentsError.
    """
    main = TranscriptKey(project_key=project_key_for_directory(directory), session_id=session_id)
    entries = await store.load_transcript(owner, main)
    if not entries:
        return
    projects = config / "projects"
    if await asyncio.to_thread(_has_all, _file(projects, main), entries):
        if await add_missing(store, owner, main, _file(projects, main), entries):
            for key in await asyncio.to_thread(_subagents, projects, main):
                await add_missing(
                    store, owner, key, _file(projects, key), await store.load_transcript(owner, key) or []
                )
        return
    await asyncio.to_thread(_write, _file(projects, main), entries)
    folder = (projects / main.project_key / session_id).resolve()
    for subpath in await store.list_transcript_subpaths(owner, main.project_key, session_id):
        key = main.model_copy(update={"subpath": subpath})
        part = await store.load_transcript(owner, key)
        target = _file(projects, key).resolve()
        if part and target.is_relative_to(folder):
            await asyncio.to_thread(_write, target, part)


def _file(projects: Path, key: TranscriptKey) -> Path:
    """Where the CLI has a transcript."""
    name = f"{key.session_id}/{key.subpath}" if key.subpath else key.session_id
    return projects / key.project_key / f"{name}.jsonl"


def _newest_uuid(entries: list[dict[str, Any]]) -> str | None:
    return next((str(entry["uuid"]) for entry in reversed(entries) if "uuid" in entry), None)


def _has_all(path: Path, entries: list[dict[str, Any]]) -> bool:
    """Whether the file has the newest of the entries. The CLI writes its file first, so then it has all of them."""
    newest = _newest_uuid(entries)
    try:
        return newest is not None and newest in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _subagents(projects: Path, main: TranscriptKey) -> list[TranscriptKey]:
    """The transcripts of a session's subagents that the CLI has files of."""
    folder = _file(projects, main).with_suffix("")
    names = (
        path.relative_to(folder).with_suffix("").as_posix() for path in sorted(folder.glob("subagents/**/*.jsonl"))
    )
    return [main.model_copy(update={"subpath": name}) for name in names]


def _last_uuid(path: Path) -> str | None:
    """The uuid of a file's last entry that has one, as far as it is found near the file's end."""
    return _newest_uuid(_read(path, last=TAIL))


def _read(path: Path, last: int | None = None) -> list[dict[str, Any]]:
    """The entries of a file, or of its `last` bytes; none when it is not there. Lines that are not whole are passed
    over: a killed CLI may have left one."""
    entries = []
    with suppress(FileNotFoundError), path.open("rb") as lines:
        if last is not None:
            lines.seek(max(path.stat().st_size - last, 0))
        for line in lines:
            with suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    entries.append(entry)
    return entries


def _missing(path: Path, stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The file's entries after the last that is stored. Where both have entries without a uuid there, these are the
    same as far as they are equal."""
    entries = _read(path)
    known = {entry["uuid"] for entry in stored if "uuid" in entry}
    start = max((n for n, entry in enumerate(entries, 1) if entry.get("uuid") in known), default=0)
    tail: list[dict[str, Any]] = []
    for entry in reversed(stored):
        if "uuid" in entry:
            break
        if entry.get("type") != METADATA:
            tail.insert(0, entry)
    missing = []
    for entry in entries[start:]:
        if tail and entry == tail[0]:
            del tail[0]
        else:
            missing.append(without_half_characters(entry))
    about = path.with_suffix(".meta.json")
    if not any(entry.get("type") == METADATA for entry in stored):
        with suppress(OSError, ValueError):
            missing.append({**json.loads(about.read_bytes()), "type": METADATA})
    return missing


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a transcript as the CLI does, one JSON object a line, readable by its owner alone, whole or not at all.
    What the SDK adds about a subagent has a file of its own."""
    about = next((entry for entry in reversed(entries) if entry.get("type") == METADATA), None)
    entries = [entry for entry in entries if entry.get("type") != METADATA]
    # Without blanks, as the CLI writes it and `has_session` looks for it.
    lines = [json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries]
    _replace(path, "".join(f"{line}\n" for line in lines))
    if about is not None:
        _replace(path.with_suffix(".meta.json"), json.dumps({k: v for k, v in about.items() if k != "type"}))


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".restoring")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _ours(key: SessionKey) -> TranscriptKey:
    return TranscriptKey(project_key=key["project_key"], session_id=key["session_id"], subpath=key.get("subpath") or "")
