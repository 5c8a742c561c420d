"""Takes what is in the outbox to the service, in order, for as long as there is something."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...errors import AgentsError, AlreadyExists, NotAllowed, NotFound, QueueFull, SequenceGap, StoreUnavailable
from ...ids import Clock
from ..base import MAX_PAGE
from ..remote import RemoteStore
from . import mirror, outbox
from .local import LocalStore
from .outbox import Entry, Lag
from .sending import Sender

log = logging.getLogger(__name__)

TOGETHER_S = 0.05
"""Changes that come one after the other within this time are sent as one."""
LOOK_S = 1.0
"""Another server in the same home may have put something into the outbox, or have ended."""
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
AT_ONCE = 100
ADOPTED = "adopted"
"""That what this home had before it knew the service is noted, and its agents are there."""


def is_away(error: AgentsError) -> bool:
    """Whether the service is not to be had at all, so that it is the same for everything else."""
    return isinstance(error, StoreUnavailable | NotAllowed | QueueFull) or type(error) is AgentsError


class Replicator:
    """One a home works at a time: it holds a lock on a file beside the database. Start it when both stores are open."""

    def __init__(
        self,
        path: Path,
        local: LocalStore,
        remote: RemoteStore,
        *,
        clock: Clock,
        owner: str | None,
        on_sent: Callable[[], None],
    ) -> None:
        self._lock_path = path.with_name(path.name + ".replication")
        self._local = local
        self._remote = remote
        self._clock = clock
        self._owner = owner
        self._on_sent = on_sent
        self._sender = Sender(local, remote)
        self._work = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lock_fd: int | None = None
        self.newest_lag = Lag()
        self.away = ""
        """Why the service cannot be used; nothing when it can, as far as is known."""

    def start(self) -> None:
        self._work.set()
        self._task = asyncio.create_task(self._run(), name="replicate to the hub's service")

    async def stop(self, within: float) -> None:
        """Send what waits, for at most so many seconds and not when the service is away; then end."""
        task, self._task = self._task, None
        if task is None:
            return
        self._settled.clear()
        self._work.set()
        waiting = asyncio.create_task(self._settled.wait())
        await asyncio.wait({waiting, task}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        for each in (waiting, task):
            each.cancel()
        await asyncio.gather(waiting, task, return_exceptions=True)
        await asyncio.to_thread(self._unlock)

    def notice(self) -> None:
        """Something was put into the outbox."""
        self._work.set()

    async def lag(self) -> Lag:
        self.newest_lag = replace(await self._local.lag(), away=self.away)
        return self.newest_lag

    async def _run(self) -> None:
        attempt = 0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._work.wait(), LOOK_S)
            self._work.clear()
            try:
                if not await asyncio.to_thread(self._lock):
                    self._settled.set()
                    continue
                await self._adopt()
                await self._empty()
                self.away = ""
                await self.lag()
            except Exception as error:
                if attempt == 0:
                    fault = None if isinstance(error, AgentsError) else error
                    log.warning("what this workspace writes waits for the hub's service: %s", error, exc_info=fault)
                self.away = str(error)
                with contextlib.suppress(AgentsError):
                    await self.lag()
                self._settled.set()
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)] * random.uniform(0.7, 1.3))  # noqa: S311 - no secret
                attempt += 1
                self._work.set()
            else:
                if attempt:
                    log.info("what waited for the hub's service is sent")
                attempt = 0
                self._settled.set()
                await asyncio.sleep(TOGETHER_S)

    async def _empty(self) -> None:
        """Send all that there is. Raises the error when the service is away."""
        after = 0
        while entries := await self._local.read(partial(outbox.next_, after=after, limit=AT_ONCE)):
            for entry in entries:
                await self._send(entry)
            after = entries[-1].position
            self.away = ""

    async def _send(self, entry: Entry) -> None:
        try:
            await self._sender.send(entry)
        except NotFound as error:
            # What it says was deleted here meanwhile, or refused as the service has not what it belongs to.
            await self._local.write(partial(outbox.refuse, entry=entry, why=error.message))
        except AgentsError as error:
            if is_away(error):
                if entry.kind != outbox.DELETED_TRANSCRIPT:
                    # Should it be this one that the service cannot be asked for, the others are not held up.
                    await self._local.write(lambda db: outbox.postpone(db, entry))
                raise
            log.error("the hub's service refused %s %s: %s", entry.kind, entry.key, error.message)
            await self._local.write(partial(outbox.refuse, entry=entry, why=error.message))
        else:
            self._on_sent()
            await self._local.write(partial(outbox.sent, entry=entry, now=self._clock()))

    # What the home had before

    async def _adopt(self) -> None:
        """Once, when a home that was used alone meets the service: bring agents and shares there, and note all else."""
        if await self._local.is_known(ADOPTED):
            return
        owners = await self._local.owners()
        for owner in owners if self._owner is None else [name for name in owners if name == self._owner]:
            for deleted in (True, False):
                after = None
                while True:
                    page = await self._local.list_agents(owner, deleted=deleted, limit=MAX_PAGE, after=after)
                    for agent in page.items:
                        await self._adopt_agent(owner, agent.id, agent.revision, deleted)
                    if (after := page.next) is None:
                        break
            await self._local.write(partial(outbox.note_everything, owner=owner, now=self._clock()))
        await self._local.write(lambda db: mirror.know(db, ADOPTED, "yes"))

    async def _adopt_agent(self, owner: str, agent_id: str, newest: int, deleted: bool) -> None:
        try:
            for revision in range(1, newest + 1):
                agent = await self._local.get_agent(owner, agent_id, revision)
                await self._remote.import_revision(agent, deleted=deleted and revision == newest)
            after = None
            while not deleted:
                page = await self._local.list_shares(owner, agent_id, limit=MAX_PAGE, after=after)
                for share in page.items:
                    await self._remote.import_share(share)
                if (after := page.next) is None:
                    break
        except (AlreadyExists, SequenceGap) as error:
            log.warning("agent %s stays as the hub's service has it: %s", agent_id, error.message)

    # The lock

    def _lock(self) -> bool:
        """Whether this is the one that works. The lock goes with the process, however it ends (flock(2))."""
        if self._lock_fd is not None:
            return True
        try:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"{self._lock_path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._lock_fd = fd
        return True

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None
