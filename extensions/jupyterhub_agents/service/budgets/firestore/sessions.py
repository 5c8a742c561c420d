"""Sessions: each time that a replica keeps books. Who is alive has a document that says until when.

A session ends by its replica, or is buried by another one when its time is over; it never comes back. Its replica then
begins a new one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from google.cloud.firestore_v1.base_query import FieldFilter

from ....ids import Clock, new_id
from ....store.firestore.database import (
    ATTEMPTS,
    ConflictingCommit,
    Create,
    Database,
    Replace,
    Snapshot,
    too_many_conflicts,
)
from ....store.firestore.layout import new_token
from ....store.paging import microseconds
from ..ledger import Account
from .layout import Layout

WITHOUT_LEASES = timedelta(minutes=2)
"""How long a session that holds nothing lives without a sign."""


class Buried(Exception):
    """The session is over: somebody else counted what it had."""


@dataclass(eq=False)
class Session:
    """What this process knows of a session of its own. `held` and `unfolded` count what Firestore's account documents
    do not know yet: calls that are in the log (`last` is its newest entry) and not in `spent`. `overdrawn`: one of
    these cost more than was held of an account with a limit, so others are to know of it soon."""

    id: str
    replica: str
    expires_at: int
    leasing: bool = False
    last: int = -1
    folded: int = -1
    held: dict[Account, int] = field(default_factory=dict)
    unfolded: dict[Account, int] = field(default_factory=dict)
    limited: set[Account] = field(default_factory=set)
    overdrawn: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def settled(self, number: int, costs: list[tuple[int, tuple[Account, ...]]]) -> list[list[int]]:
        """The entry of this number is in the log: what was drawn for each of its calls, of each account."""
        self.last = number
        drawn = []
        for cost, accounts in costs:
            drawn.append([min(self.held.get(account, 0), cost) for account in accounts])
            for account, amount in zip(accounts, drawn[-1], strict=True):
                if cost:
                    self.unfolded[account] = self.unfolded.get(account, 0) + cost
                if amount < cost and account in self.limited:
                    self.overdrawn = True
                if amount:
                    self.held[account] -= amount
        return drawn


def lives_until(now: datetime, until: datetime) -> int:
    """When a session ends that holds something until `until`: later, so that it need not be written so often."""
    return microseconds(until + max(timedelta(), until - now) / 2)


async def begin(database: Database, layout: Layout, clock: Clock, replica: str, expires_at: int) -> Session:
    session = Session(new_id(clock), replica, expires_at)
    fields = {
        "replica": replica, "open": True, "dying": False, "expires_at": expires_at, "changed": microseconds(clock()),
        "folded": -1, "token": new_token(),
    }  # fmt: skip
    await database.commit([Create(layout.session(session.id), fields)])
    return session


async def extend(database: Database, layout: Layout, clock: Clock, session: Session, expires_at: int) -> None:
    """Let it live on. Raises Buried."""
    fields = {"expires_at": expires_at, "folded": session.folded}
    await _change(database, layout, clock, session.id, fields)
    session.expires_at = expires_at


async def end(database: Database, layout: Layout, clock: Clock, session: Session) -> None:
    """All that it had is counted, and it holds nothing. Raises Buried."""
    await _change(database, layout, clock, session.id, {"open": False, "folded": session.last})


async def doom(database: Database, layout: Layout, clock: Clock, session: str, now: int) -> Snapshot | None:
    """Mark a session that is over by `now`, so that it can be buried; None when it is not over, or buried already."""
    for _ in range(ATTEMPTS):
        document = await database.get(layout.session(session))
        if document is None or not document.get("open"):
            return None
        if document.get("dying"):
            return document
        if document.get("expires_at") > now:
            return None
        fields = {"dying": True, "changed": microseconds(clock()), "token": new_token()}
        try:
            await database.commit([Replace(document.reference, fields, document.update_time)])
        except ConflictingCommit:
            continue
    raise too_many_conflicts("a session of the ledger")


def is_alive(document: Snapshot | None) -> bool:
    return document is not None and bool(document.get("open")) and not document.get("dying")


async def open_sessions(database: Database, layout: Layout) -> list[Snapshot]:
    return await database.query(layout.sessions().where(filter=FieldFilter("open", "==", True)))


async def _change(database: Database, layout: Layout, clock: Clock, session: str, fields: dict[str, Any]) -> None:
    for _ in range(ATTEMPTS):
        document = await database.get(layout.session(session))
        if document is None or not is_alive(document):
            raise Buried
        if (wait := layout.must_wait_s(document)) > 0:
            await asyncio.sleep(wait)
            continue
        fields = fields | {"changed": microseconds(clock()), "token": new_token()}
        try:
            await database.commit([Replace(document.reference, fields, document.update_time)])
        except ConflictingCommit:
            continue
        return
    raise too_many_conflicts("a session of the ledger")
