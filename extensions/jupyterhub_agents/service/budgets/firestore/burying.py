"""What a session that died has spent is counted, and what it held returns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from google.cloud.firestore_v1.base_query import FieldFilter

from ....ids import utcnow
from ....store.firestore.database import (
    ATTEMPTS,
    ConflictingCommit,
    Create,
    Database,
    Replace,
    Snapshot,
    Write,
    too_many_conflicts,
)
from ....store.firestore.layout import new_token
from ....store.paging import microseconds
from ..ledger import Account
from .layout import Layout, Share, Stand, account_id, stand_fields, unpack_calls
from .sessions import doom

log = logging.getLogger(__name__)

AT_ONCE = 300
_PAGE = 100

_Costs = dict[Account, list[tuple[int, int]]]
"""The entries of the log, and what they cost each account."""


async def bury(database: Database, layout: Layout, session: str, now: int) -> None:
    """Count what the session spent, and let go of what it held, when its time is over. Several may do it at once."""
    document = await doom(database, layout, utcnow, session, now)
    if document is None:
        return
    costs = await _end_log(database, layout, session, document.get("folded"))
    accounts = [*costs]
    groups = [accounts[start : start + AT_ONCE] for start in range(0, len(accounts), AT_ONCE)] or [[]]
    for number, group in enumerate(groups, 1):
        if not await _count(database, layout, session, group, costs, last=number == len(groups)):
            return
    log.warning("A replica's time was over; its calls are counted, and its leases have returned.")


async def entries_after(database: Database, layout: Layout, session: str, number: int) -> list[Snapshot]:
    """One page of the log, in order."""
    query = layout.log(session).order_by("number").limit(_PAGE)
    return await database.query(query.where(filter=FieldFilter("number", ">", number)))


async def _end_log(database: Database, layout: Layout, session: str, folded: int) -> _Costs:
    """Make sure that no more calls come; gives those that may not be counted yet."""
    costs: _Costs = {}
    number, token = folded, new_token()
    for _ in range(1_000_000):
        page = await entries_after(database, layout, session, number)
        for entry in page:
            number = entry.get("number")
            if "calls" not in (entry.to_dict() or {}):
                return costs
            for call, accounts in unpack_calls(entry.get("calls")):
                for account in accounts if call.cost else ():
                    costs.setdefault(account, []).append((number, call.cost))
        if page:
            continue
        end = {"number": number + 1, "token": token, "last_day": utcnow().date().isoformat()}
        try:
            await database.commit([Create(layout.entry(session, number + 1), end)])
        except ConflictingCommit:
            continue  # The session was not quite dead, or somebody else ended it.
        return costs
    raise too_many_conflicts("a log of the ledger")


async def _count(
    database: Database, layout: Layout, session: str, accounts: Sequence[Account], costs: _Costs, *, last: bool
) -> bool:
    """Count the session's calls in these accounts. The session's own document is part of each commit: so of several
    who bury it one does, and none after it is buried. False when it is."""
    mine = layout.session(session)
    for _ in range(ATTEMPTS):
        documents = await database.get_all([mine, *map(layout.account, accounts)])
        head = documents.get(session)
        if head is None or not head.get("open"):
            return False
        token = new_token()
        fields = {"open": not last, "changed": microseconds(utcnow()), "token": token}
        writes: list[Write] = [Replace(mine, fields, head.update_time)]
        wait = layout.must_wait_s(head)
        for account in accounts:
            stand = Stand.of(account, documents.get(account_id(account)))
            share = stand.shares.get(session)
            counted = -1 if share is None else share.folded
            spent = stand.spent + sum(cost for number, cost in costs[account] if number > counted)
            shares = {one: other for one, other in stand.shares.items() if one != session}
            newest = max(number for number, _ in costs[account])
            # It stays until the session is buried, so that nothing is counted twice.
            shares[session] = Share(0, max(newest, counted))
            ref = layout.account(account)
            new = stand_fields(account, spent, shares, token)
            if stand.seen is None:
                writes.append(Create(ref, new))
            else:
                writes.append(Replace(ref, new, stand.seen.update_time))
                wait = max(wait, layout.must_wait_s(stand.seen))
        if wait > 0:
            await asyncio.sleep(wait)
            continue
        try:
            await database.commit(writes)
        except ConflictingCommit:
            continue
        return True
    raise too_many_conflicts("the budgets")
