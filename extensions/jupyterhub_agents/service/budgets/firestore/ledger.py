"""`FirestoreLedger`: the ledger of several replicas of the service."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from google.cloud.firestore_v1 import AsyncClient

from ....errors import StoreUnavailable
from ....ids import Clock, utcnow
from ....store.firestore.connection import connect, disconnect
from ....store.firestore.database import Database, Delete
from ....store.firestore.failures import explain
from ....store.firestore.layout import new_token
from ....store.paging import microseconds
from .. import reports, run_reports
from ..ledger import (
    Account,
    ActiveDay,
    AgentSum,
    Ask,
    Budget,
    BudgetTable,
    CallFilter,
    CallPage,
    CallRecord,
    Change,
    Kind,
    Leased,
    Ledger,
    Lengths,
    RunSum,
    Sessions,
    Speed,
    UsageRow,
)
from ..periods import PeriodKind
from . import accounts as account_documents
from . import pruning, sessions, table
from .burying import bury
from .copy import Copy
from .layout import QUIET_S, Layout
from .log import Log
from .sessions import WITHOUT_LEASES, Buried, Session, lives_until

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLD_S = 30.0
"""How often what was spent is counted in the accounts. Until then other replicas see it as leased."""
LOOK_S = 15.0
"""How often it is looked whether another replica has died."""
_TICK_S = 5.0
_REMEMBERED = 20_000
"""Calls whose ids are known, so that none is put on record twice."""
_ROUNDS = 3
_CLOSE_LIMIT_S = 10.0


@dataclass(frozen=True)
class _Opened:
    client: AsyncClient
    database: Database
    layout: Layout
    copy: Copy


class FirestoreLedger(Ledger):
    """What `Ledger` says, in a Firestore database in Native mode, for up to three replicas.

    A settled call is committed in all zones of the database's location. Calls that settle within 0.1 s share a commit;
    each waits up to `timeout` seconds for Firestore, then StoreUnavailable is raised. Reports come from a copy in a
    folder below `folder`, which can be empty at each start. With FIRESTORE_EMULATOR_HOST in the environment the
    emulator is used. A `client`, such as one of `connect`, stays open. `quiet_s` is for tests: the emulator has no
    limit of writes to one document.
    """

    def __init__(
        self,
        project: str,
        folder: Path,
        *,
        database: str = "(default)",
        client: AsyncClient | None = None,
        clock: Clock = utcnow,
        timeout: float = 10.0,
        report_wait_s: float = 10.0,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._project = project
        self._name = database
        self._folder = folder
        self._place = f"The Firestore database {database} of project {project}"
        self._given = client
        self._clock = clock
        self._timeout = timeout
        self._report_wait_s = report_wait_s
        self._quiet_s = quiet_s
        self._state: _Opened | None = None
        self._sessions: dict[str, Session] = {}
        self._logs: dict[str, Log] = {}
        self._beginning = asyncio.Lock()
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._settling: dict[str, asyncio.Future[None]] = {}
        self._keeper: asyncio.Task[None] | None = None

    # Life

    async def open(self) -> None:
        if self._state is not None:
            return
        try:
            client = self._given or await connect(self._project, self._name)
        except Exception as error:
            explained = explain(self._place, error)
            if explained is error:
                raise
            raise explained from error
        database = Database(client, self._place, self._timeout)
        layout = Layout(client, self._quiet_s)
        copy = Copy(database, layout, self._folder, self._report_wait_s)
        self._state = _Opened(client, database, layout, copy)
        await copy.open()
        self._keeper = asyncio.create_task(self._keep(), name="firestore ledger")

    async def close(self) -> None:
        if self._state is None:
            return
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for replica in [*self._sessions]:
            with contextlib.suppress(StoreUnavailable, TimeoutError):  # Others bury it when its time is over.
                async with asyncio.timeout(_CLOSE_LIMIT_S):
                    await self.give_back(replica)
        for one in self._logs.values():
            await one.close()
        opened, self._state = self._state, None
        await opened.copy.close()
        if opened.client is not self._given:
            await disconnect(opened.client)

    async def check(self) -> None:
        async with self._call() as opened:
            # Removes nothing, and yet needs the right to write.
            await opened.database.commit([Delete(opened.layout.days().document(f"check-{new_token()}"))])

    # Calls and leases

    async def settle(self, replica: str, call: CallRecord, accounts: Sequence[Account]) -> Sequence[int] | None:
        async with self._call():
            while (other := self._settling.get(call.id)) is not None:
                await asyncio.wait([other])
            if call.id in self._ids:
                return None
            done = self._settling[call.id] = asyncio.get_running_loop().create_future()
            try:
                drawn = await self._settle(replica, call, tuple(accounts))
                self._ids[call.id] = None
                while len(self._ids) > _REMEMBERED:
                    self._ids.popitem(last=False)
                return drawn
            finally:
                del self._settling[call.id]
                done.set_result(None)

    async def lease(self, replica: str, asks: Sequence[Ask], now: datetime, until: datetime) -> Leased:
        lapsed = False
        async with self._call() as opened:
            for _ in range(_ROUNDS):
                known = await self._hold(replica, now, until, new=True)
                lapsed = lapsed or not known
                session = self._sessions[replica]
                try:
                    grants = await account_documents.grant(
                        opened.database, opened.layout, session, asks, microseconds(now)
                    )
                except Buried:
                    self._forget(session)
                    continue
                return Leased(lapsed, grants)
        raise StoreUnavailable("The budgets are changing too fast at the moment. Try again in a second.")

    async def renew(self, replica: str, now: datetime, until: datetime) -> bool:
        async with self._call():
            return await self._hold(replica, now, until, new=False)

    async def give_back(self, replica: str, amounts: Mapping[Account, int | None] | None = None) -> None:
        session = self._sessions.get(replica)
        if session is None:
            return
        async with self._call() as opened:
            now = microseconds(self._clock())
            try:
                if amounts is None:
                    await self._end(session)
                else:
                    await account_documents.give_back(opened.database, opened.layout, session, amounts, now)
            except Buried:
                self._forget(session)

    # Budgets

    async def budgets(self, known: int = -1) -> BudgetTable | None:
        async with self._call() as opened:
            found = await table.read(opened.database, opened.layout, known)
        if found is not None and known >= 0:
            # An account that had no limit may have one now, and others must know what was spent of it.
            await self._fold()
        return found

    async def set_budget(self, kind: Kind, name: str, budget: Budget | None, by: str, at: datetime) -> None:
        async with self._call() as opened:
            await table.change(opened.database, opened.layout, kind, name, budget, by, at)

    async def changes(self, limit: int, before: str | None = None) -> tuple[Sequence[Change], str | None]:
        start = reports.parse_number(before)
        async with self._call() as opened:
            return await table.changes(opened.database, opened.layout, limit, start)

    # Reports

    async def prune(self, before: str) -> int:
        async with self._call() as opened:
            return await pruning.prune(opened.database, opened.layout, opened.copy, before)

    async def spent(self, accounts: Collection[Account]) -> Mapping[Account, int]:
        return await self._read(lambda db: reports.spent(db, accounts))

    async def names(self, kind: Kind, keys: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        return await self._read(lambda db: reports.names(db, kind, keys))

    async def usage(
        self, by: Sequence[str], since: str, until: str, kind: Kind = Kind.HUB, name: str | None = None
    ) -> Sequence[UsageRow]:
        return await self._read(lambda db: reports.usage(db, by, since, until, kind, name))

    async def calls(self, which: CallFilter, limit: int, before: str | None = None) -> CallPage:
        start = reports.parse_cursor(before)
        return await self._read(lambda db: reports.calls(db, which, limit, start))

    async def speed(self, which: CallFilter, percentiles: Sequence[int] = (50, 90, 99)) -> Speed:
        return await self._read(lambda db: reports.speed(db, which, percentiles))

    async def activity(self, since: str, until: str, by: PeriodKind) -> Sequence[ActiveDay]:
        return await self._read(lambda db: reports.activity(db, since, until, by))

    async def runs(self, which: CallFilter, limit: int) -> Sequence[RunSum]:
        return await self._read(lambda db: run_reports.runs(db, which, limit))

    async def agents(self, which: CallFilter, limit: int) -> Sequence[AgentSum]:
        return await self._read(lambda db: run_reports.agents(db, which, limit))

    async def lengths(self, which: CallFilter, percentiles: Sequence[int] = (50, 90)) -> Lengths:
        return await self._read(lambda db: run_reports.lengths(db, which, percentiles))

    async def sessions(self, which: CallFilter, percentiles: Sequence[int] = (50, 90)) -> Sessions:
        return await self._read(lambda db: run_reports.sessions(db, which, percentiles))

    # Within

    async def _read(self, query: Callable[..., T]) -> T:
        async with self._call() as opened:
            return await opened.copy.read(query)

    async def _settle(self, replica: str, call: CallRecord, accounts: tuple[Account, ...]) -> Sequence[int]:
        for _ in range(_ROUNDS):
            session = await self._begun(replica)
            try:
                return await self._logs[session.id].add((call, accounts))
            except Buried:
                self._forget(session)
        raise StoreUnavailable("This replica's books were closed by others again and again. Look at its clock.")

    async def _begun(self, replica: str) -> Session:
        """The replica's session; a new one, without leases, when there is none."""
        if (session := self._sessions.get(replica)) is not None:
            return session
        async with self._beginning:
            if (session := self._sessions.get(replica)) is None:
                session = await self._begin(replica, microseconds(self._clock() + WITHOUT_LEASES))
            return session

    async def _begin(self, replica: str, expires_at: int) -> Session:
        opened = self._opened
        session = await sessions.begin(opened.database, opened.layout, self._clock, replica, expires_at)
        self._sessions[replica] = session
        self._logs[session.id] = Log(opened.database, opened.layout, session, opened.copy.stored)
        return session

    async def _hold(self, replica: str, now: datetime, until: datetime, *, new: bool) -> bool:
        """Whether the replica still held its leases. With `new` it begins anew when it did not."""
        opened = self._opened
        async with self._beginning:
            session = self._sessions.get(replica)
            lives = lives_until(now, until)
            if session is not None and session.leasing and session.expires_at <= microseconds(now):
                await bury(opened.database, opened.layout, session.id, microseconds(now))
                self._forget(session)
                session = None
            known = session is not None and session.leasing
            if not known and not new:
                return False
            try:
                # Not each time: it lives for longer than it was asked to.
                if session is not None and microseconds(until) > session.expires_at:
                    await sessions.extend(opened.database, opened.layout, self._clock, session, lives)
            except Buried:
                self._forget(session)  # type: ignore[arg-type]  # It was there.
                known, session = False, None
            if session is None:
                if not new:
                    return False
                session = await self._begin(replica, lives)
            session.leasing = True
            return known

    async def _end(self, session: Session) -> None:
        """Return all that it holds, count what it spent, and close it."""
        opened, now, log_ = self._opened, microseconds(self._clock()), self._logs[session.id]
        self._forget(session)
        await log_.close()
        everything: dict[Account, int | None] = dict.fromkeys([*session.held, *session.unfolded])
        await account_documents.give_back(opened.database, opened.layout, session, everything, now)
        if log_.is_certain:
            await sessions.end(opened.database, opened.layout, self._clock, session)

    def _forget(self, session: Session) -> None:
        if self._sessions.get(session.replica) is session:
            del self._sessions[session.replica]
        alive = {one.id for one in self._sessions.values()}
        self._logs = {one: kept for one, kept in self._logs.items() if one in alive or kept.is_writing}

    async def _fold(self) -> None:
        opened, now = self._opened, microseconds(self._clock())
        for session in [*self._sessions.values()]:
            try:
                await account_documents.fold(opened.database, opened.layout, session, now)
            except Buried:
                self._forget(session)

    async def _keep(self) -> None:
        """Count what was spent, and look after those that died."""
        loop = asyncio.get_running_loop()
        fold_at, look_at = loop.time() + FOLD_S, loop.time()
        while True:
            await asyncio.sleep(_TICK_S)
            try:
                if loop.time() >= fold_at or any(session.overdrawn for session in self._sessions.values()):
                    fold_at = loop.time() + FOLD_S
                    await self._fold()
                if loop.time() >= look_at:
                    look_at = loop.time() + LOOK_S
                    await self._look()
            except StoreUnavailable as error:
                log.warning("The ledger is away: %s", error)
            except Exception:
                log.exception("Looking after the ledger failed; it goes on.")

    async def _look(self) -> None:
        opened, now = self._opened, self._clock()
        own = {session.id for session in self._sessions.values()}
        for document in await sessions.open_sessions(opened.database, opened.layout):
            if document.id not in own and document.get("expires_at") <= microseconds(now):
                await bury(opened.database, opened.layout, document.id, microseconds(now))
        for session in [*self._sessions.values()]:
            if not session.leasing and session.expires_at < microseconds(now + WITHOUT_LEASES / 2):
                lives = microseconds(now + WITHOUT_LEASES)
                try:
                    await sessions.extend(opened.database, opened.layout, self._clock, session, lives)
                except Buried:
                    self._forget(session)

    @property
    def _opened(self) -> _Opened:
        if self._state is None:
            raise StoreUnavailable(f"{self._place} is not open: the service is starting or stopping.")
        return self._state

    @contextlib.asynccontextmanager
    async def _call(self) -> AsyncIterator[_Opened]:
        try:
            yield self._opened
        except (StoreUnavailable, Buried):
            raise
        except Exception as error:
            explained = explain(self._place, error)
            if explained is error:
                raise
            raise explained from error
