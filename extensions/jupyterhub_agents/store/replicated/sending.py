"""How each kind of thing is brought to the service: as it is here now, so that it bears to be done again.

The home is the one that writes to its runs. So what the service has of a run is always a part of what is here, and it
is enough to know how long that part is.
"""

from __future__ import annotations

from ...errors import AlreadyExists, Conflict, NotFound, SequenceGap
from ...models import Run, RunChanges, RunStatus, RunUsage, TranscriptKey
from ..remote import RemoteStore
from . import outbox
from .local import LocalStore
from .outbox import Entry

_REMEMBERED = 1_000
"""Runs and transcripts of which it is remembered how much the service has; of others it is asked."""


class Sender:
    """Brings entries of the outbox to the service. The errors are the service's; what a call that failed had done is
    asked for before the next."""

    def __init__(self, local: LocalStore, remote: RemoteStore) -> None:
        self._local = local
        self._remote = remote
        self._reached: dict[tuple[str, str], int] = {}

    async def send(self, entry: Entry) -> None:
        """Bring the thing to the service, whole."""
        try:
            if entry.kind == outbox.RUN:
                await self._run(entry.owner, entry.key)
            elif entry.kind == outbox.APPROVAL:
                await self._approval(entry.owner, entry.key)
            elif entry.kind == outbox.TRANSCRIPT:
                await self._transcript(entry.owner, outbox.transcript_of(entry.key))
            else:
                await self._deletion(entry.owner, outbox.transcript_of(entry.key))
        except BaseException:
            self._reached.pop((entry.owner, entry.key), None)
            raise

    # Runs

    async def _run(self, owner: str, run_id: str) -> None:
        after = self._reached.get((owner, run_id))
        if after is None:
            after = await self._last_seq_there(owner, run_id)
        gaps = 0
        while True:
            run, events = await self._local.run_to_send(owner, run_id, after)
            if after > run.last_seq:
                raise Conflict(
                    f"Run {run_id!r} has {after} events in the hub's service, but {run.last_seq} here: this home is "
                    "older than what it sent before."
                )
            whole = not events or events[-1].seq >= run.last_seq
            try:
                # A status must not be seen before the events that led to it.
                await self._remote.append_events(owner, run_id, events, _changes(run) if whole else None)
            except SequenceGap as gap:
                # It was set back, such as to a backup.
                gaps += 1
                if gaps > 3:
                    raise
                after = gap.last_seq
                continue
            except NotFound:
                gaps += 1
                if gaps > 3:
                    raise
                after = await self._last_seq_there(owner, run_id)
                continue
            after = events[-1].seq if events else after
            self._remember(owner, run_id, after)
            if whole:
                return

    async def _last_seq_there(self, owner: str, run_id: str) -> int:
        """How many events the service has; makes the run when it has none of it."""
        run, _ = await self._local.run_to_send(owner, run_id, 0)
        try:
            await self._remote.create_run(_as_it_began(run))
        except AlreadyExists:
            return (await self._remote.get_run(owner, run_id)).last_seq
        return 0

    # Approvals

    async def _approval(self, owner: str, approval_id: str) -> None:
        approval = await self._local.get_approval(owner, approval_id)
        try:
            await self._remote.import_approval(approval)
        except NotFound:
            await self._run(owner, approval.run_id)
            await self._remote.import_approval(approval)

    # Transcripts

    async def _transcript(self, owner: str, key: TranscriptKey) -> None:
        for deleted in await self._local.deletions(owner):
            if outbox.covers(deleted, key):
                # What was written anew comes after it.
                await self._deletion(owner, deleted)
        done = self._reached.get((owner, outbox.key_of(key)))
        if done is None:
            done = await self._entries_there(owner, key)
            self._remember(owner, outbox.key_of(key), done)
        while entries := await self._local.entries_to_send(owner, key, done):
            await self._remote.append_transcript(owner, key, entries)
            done += len(entries)
            self._remember(owner, outbox.key_of(key), done)

    async def _entries_there(self, owner: str, key: TranscriptKey) -> int:
        """How many of the entries here the service has. Entries without a uuid must not be sent twice."""
        there = await self._remote.load_transcript(owner, key) or []
        here = await self._local.load_transcript(owner, key) or []
        if here[: len(there)] == there:
            return len(there)
        # Not a part of what is here, as when a home began without it: what both have is found by uuid.
        uuids = {entry["uuid"] for entry in there if isinstance(entry.get("uuid"), str)}
        return max((at for at, entry in enumerate(here, 1) if entry.get("uuid") in uuids), default=0)

    async def _deletion(self, owner: str, key: TranscriptKey) -> None:
        await self._remote.delete_transcript(owner, key)
        for who, which in list(self._reached):
            if who == owner and which.startswith("[") and outbox.covers(key, outbox.transcript_of(which)):
                del self._reached[who, which]

    def _remember(self, owner: str, key: str, reached: int) -> None:
        self._reached.pop((owner, key), None)
        self._reached[owner, key] = reached
        while len(self._reached) > _REMEMBERED:
            del self._reached[next(iter(self._reached))]


def _changes(run: Run) -> RunChanges:
    return RunChanges(**{name: getattr(run, name) for name in RunChanges.model_fields})


def _as_it_began(run: Run) -> Run:
    """A run to make in the service: without what its events led to, as long as these are not there."""
    if not run.last_seq:
        return run
    return run.model_copy(
        update={
            "status": RunStatus.QUEUED, "started_at": None, "finished_at": None, "usage": RunUsage(), "turns": 0,
            "error": None, "result": None, "last_seq": 0,
        }
    )  # fmt: skip
