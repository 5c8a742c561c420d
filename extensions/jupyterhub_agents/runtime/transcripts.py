"""`Transcripts`: the SDK's SessionStore over the AgentStore, so that a session goes on where its files are not."""

from __future__ import annotations

import asyncio
import json
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

from ..models import TranscriptKey
from ..store import AgentStore


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


async def restore(store: AgentStore, owner: str, *, config: Path, directory: Path, session_id: str) -> None:
    """Make the CLI's own files of a session as the store has them, where they are missing or older: in a home that was
    lost, or that another pod worked with. The CLI and the terminal's `claude --resume` then find the session.

    What the SDK would do, resuming from a temporary configuration folder, leaves nothing behind for the terminal.
    `config` is the CLI's configuration folder.
    """
    main = TranscriptKey(project_key=project_key_for_directory(directory), session_id=session_id)
    entries = await store.load_transcript(owner, main)
    if not entries:
        return
    folder = config / "projects" / main.project_key
    if await asyncio.to_thread(_has_all, folder / f"{session_id}.jsonl", entries):
        return
    await asyncio.to_thread(_write, folder / f"{session_id}.jsonl", entries)
    for subpath in await store.list_transcript_subpaths(owner, main.project_key, session_id):
        part = await store.load_transcript(owner, main.model_copy(update={"subpath": subpath}))
        target = (folder / session_id / f"{subpath}.jsonl").resolve()
        if part and target.is_relative_to((folder / session_id).resolve()):
            await asyncio.to_thread(_write, target, part)


def _has_all(path: Path, entries: list[dict[str, Any]]) -> bool:
    """Whether the file has the newest of the entries. The CLI writes its file first, so then it has all of them."""
    newest = next((entry["uuid"] for entry in reversed(entries) if "uuid" in entry), None)
    try:
        return newest is not None and str(newest) in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    """Write a transcript as the CLI does, one JSON object a line, readable by its owner alone, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".restoring")
    draft.touch(mode=0o600)
    draft.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")
    draft.replace(path)


def _ours(key: SessionKey) -> TranscriptKey:
    return TranscriptKey(project_key=key["project_key"], session_id=key["session_id"], subpath=key.get("subpath") or "")
