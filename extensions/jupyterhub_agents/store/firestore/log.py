"""The writers of runs: the calls for one run that wait at once share a commit, and none reads on its way.

A writer knows what its run is like because it wrote it. When somebody else wrote to the run meanwhile, the next
entry's number is taken, the commit fails as a whole, and the writer reads the run anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import AgentsError
from ...models import Run, RunChanges
from .. import rules
from . import runs
from .database import ATTEMPTS, ConflictingCommit, Create, Database, Delete, Write, too_many_conflicts
from .events import Entry, newest_entry, packed_rows
from .layout import new_token
from .runs import Head

MAX_BATCH_CALLS = 200
MAX_BATCH_BYTES = 2_000_000
"""Where one commit ends, as far as calls can be put apart."""

_KEPT = 500
"""Runs that are remembered while nothing is written to them."""


@dataclass(frozen=True, slots=True)
class State:
    """What a run is like, as far as its writer knows."""

    head: Head
    number: int
    """Of the log's newest entry."""

    @property
    def last_seq(self) -> int:
        return self.head.run.last_seq


@dataclass(slots=True, eq=False)
class _Call:
    rows: Sequence[rules.EventRow]
    changes: RunChanges | None
    future: asyncio.Future[None]
    error: AgentsError | None = None

    @property
    def size(self) -> int:
        return sum(len(payload) for *_, payload in self.rows)


class RunLogs:
    """The writers of all runs. Owns their tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writers: OrderedDict[tuple[str, str], _Writer] = OrderedDict()

    def created(self, head: Head) -> None:
        """A run was made just now: its writer need not read it."""
        self._writer(head.run.owner, head.run.id).state = State(head, 0)

    async def append(self, owner: str, run_id: str, rows: Sequence[rules.EventRow], changes: RunChanges | None) -> None:
        """Store them. Raises NotFound, SequenceGap, StoreUnavailable. A caller that is cancelled while it waits does
        not stop the write."""
        writer = self._writer(owner, run_id)
        await writer.append(rows, changes)
        if writer.task is None and writer.state is not None and writer.state.head.run.status.is_final:
            # Perhaps nothing follows; else it is read.
            self._writers.pop((owner, run_id), None)

    async def stop(self) -> None:
        """Finish what was begun."""
        tasks = [writer.task for writer in self._writers.values() if writer.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _writer(self, owner: str, run_id: str) -> _Writer:
        key = (owner, run_id)
        writer = self._writers.get(key)
        if writer is None:
            self._forget_the_oldest()
            writer = self._writers[key] = _Writer(self._database, owner, run_id)
        self._writers.move_to_end(key)
        return writer

    def _forget_the_oldest(self) -> None:
        if len(self._writers) >= _KEPT:
            for key, writer in list(self._writers.items()):
                if writer.task is None:
                    del self._writers[key]
                    return


class _Writer:
    """Writes to one run, one commit after the other."""

    def __init__(self, database: Database, owner: str, run_id: str) -> None:
        self.state: State | None = None
        self.task: asyncio.Task[None] | None = None
        self._database = database
        self._owner = owner
        self._run_id = run_id
        self._waiting: list[_Call] = []

    async def append(self, rows: Sequence[rules.EventRow], changes: RunChanges | None) -> None:
        call = _Call(rows, changes, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self.task is None:
            self.task = asyncio.create_task(self._work(), name=f"write to run {self._run_id}")
        await call.future

    async def _work(self) -> None:
        try:
            while batch := self._take():
                try:
                    await self._write(batch)
                except Exception as error:
                    # What reached Firestore is not known.
                    self.state = None
                    for call in batch:
                        if not call.future.done():
                            call.future.set_exception(error)
                else:
                    for call in batch:
                        if call.future.done():
                            continue
                        if call.error is not None:
                            call.future.set_exception(call.error)
                        else:
                            call.future.set_result(None)
        finally:
            self.task = None

    def _take(self) -> list[_Call]:
        """What waits, at least one call."""
        batch: list[_Call] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH_CALLS and size < MAX_BATCH_BYTES:
            batch.append(self._waiting.pop(0))
            size += batch[-1].size
        return batch

    async def _write(self, batch: Sequence[_Call]) -> None:
        for _ in range(ATTEMPTS):
            was_read = self.state is None
            state = self.state = self.state or await self._read()
            run, rows = self._planned(state, batch)
            if any(call.error for call in batch) and not was_read:
                # A gap, perhaps, only because another writer was here.
                self.state = None
                continue
            if not rows and run == state.head.run:
                return
            try:
                self.state = await self._commit(state, run, rows)
            except ConflictingCommit:
                self.state = None
                continue
            return
        raise too_many_conflicts(f"run {self._run_id!r}")

    async def _read(self) -> State:
        head, entry = await runs.get(self._database, self._owner, self._run_id)
        entry = entry or await newest_entry(self._database, self._owner, self._run_id)
        if entry is None or entry.head != head.number:
            # It changed between the two; the commit that follows fails, and reads again.
            return State(head, head.number)
        return State(head, entry.number)

    def _planned(self, state: State, batch: Sequence[_Call]) -> tuple[Run, list[rules.EventRow]]:
        """The run after the calls, and the events that are new. Sets the error of each call that is refused."""
        run = state.head.run
        rows: list[rules.EventRow] = []
        for call in batch:
            call.error = None
            last = rows[-1][0] if rows else state.last_seq
            try:
                if call.rows:
                    rules.check_follows(call.rows[0][0], last)
            except AgentsError as error:
                call.error = error
                continue
            rows += [row for row in call.rows if row[0] > last]
            if call.changes is not None:
                run = call.changes.applied_to(run)
        return run, rows

    async def _commit(self, state: State, run: Run, rows: Sequence[rules.EventRow]) -> State:
        layout, token = self._database.layout, new_token()
        groups = list(packed_rows(layout, self._owner, rows))
        last_seq = rows[-1][0] if rows else state.last_seq
        last_number = state.number + max(len(groups), 1)
        # A list shows the number of the newest event from the head alone when the run has ended.
        changed = run != state.head.run or state.head.run.status.is_final
        run = run.model_copy(update={"last_seq": last_seq})
        head = Head(run, last_number if changed else state.head.number, state.head.prompt)

        entries: list[Create] = []
        parts: list[Create] = []
        for number, (first, last, packed) in enumerate(groups, state.number + 1):
            parts += packed.parts
            entry = Entry(number, last, head.number, first, packed)
            entries.append(entry.document(self._database, self._owner, self._run_id, token))
        if not entries:
            entry = Entry(last_number, last_seq, head.number)
            entries.append(entry.document(self._database, self._owner, self._run_id, token))
        writes: list[Write] = [*entries]
        if changed:
            document, more = runs.head_documents(self._database, head, token)
            parts += more
            writes += [document, Delete(layout.run(self._owner, self._run_id, state.head.number))]
        await self._database.commit(writes, parts)
        return State(head, last_number)
