"""What is spent and leased of each account, in one document each.

`spent` and all shares together never exceed the limit by a grant. A session's calls are in its log first; its share
goes down, and `spent` up, when it touches the account the next time (`fold`). Until then they are within its share, so
nobody can lease them again. A share names the log's entry up to which it was counted: so nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from ..ledger import Account, Ask, Budget, Grant
from .burying import bury
from .layout import Layout, Share, Stand, account_id, stand_fields
from .sessions import Buried, Session, is_alive
from .table import budgets_of

AT_ONCE = 300
"""Accounts that one commit changes at most."""
_SPREAD_S = 0.2
"""Replicas that wait for the same document do not all come back at once."""


@dataclass(frozen=True)
class _Plan:
    """How much more (or less) the session is to hold of an account, and what is to be answered."""

    more: int
    grant: Grant | None = None


_Decide = Callable[[Stand, int, int, Mapping[str, Budget]], _Plan]
"""By the account, what is spent of it, what all hold of it, and the budgets that were set."""


async def grant(database: Database, layout: Layout, session: Session, asks: Sequence[Ask], now: int) -> list[Grant]:
    """Lease what is left. Raises Buried."""
    by_account = {ask.account: ask for ask in asks}

    def decide(stand: Stand, spent: int, held: int, budgets: Mapping[str, Budget]) -> _Plan:
        ask = by_account[stand.account]
        budget = budgets.get(f"{stand.account.kind}:{stand.account.name}")
        limit = ask.default if budget is None else budget.of(stand.account.period)
        if limit is None:
            return _Plan(0, Grant(0, None, spent, held))
        room = limit - spent - held
        granted = max(0, min(room, max(ask.want, ask.least))) if room >= ask.least else 0
        return _Plan(granted, Grant(granted, limit, spent, held + granted))

    grants = await _change(database, layout, session, [*by_account], decide, now)
    # Whoever buried it meanwhile did not see what was leased.
    granted = any(plan.more for plan in grants.values())
    if granted and not is_alive(await database.get(layout.session(session.id))):
        raise Buried
    return [answer for ask in asks if (answer := grants[ask.account].grant) is not None]


async def give_back(
    database: Database, layout: Layout, session: Session, amounts: Mapping[Account, int | None], now: int
) -> None:
    """Hold less of some accounts (None: nothing), and count what was spent of them. Raises Buried."""

    def decide(stand: Stand, spent: int, held: int, budgets: Mapping[str, Budget]) -> _Plan:
        mine, amount = session.held.get(stand.account, 0), amounts[stand.account]
        return _Plan(-mine if amount is None else -min(mine, amount))

    await _change(database, layout, session, [*amounts], decide, now)


async def fold(database: Database, layout: Layout, session: Session, now: int) -> None:
    """Count what was spent, of all accounts. Raises Buried."""
    last, session.overdrawn = session.last, False
    spent = [account for account, amount in session.unfolded.items() if amount]
    await _change(database, layout, session, spent, lambda *_: _Plan(0), now)
    session.folded = max(session.folded, last)


async def _change(
    database: Database, layout: Layout, session: Session, accounts: Sequence[Account], decide: _Decide, now: int
) -> dict[Account, _Plan]:
    plans: dict[Account, _Plan] = {}
    async with session.lock:
        for start in range(0, len(accounts), AT_ONCE):
            plans |= await _change_some(database, layout, session, accounts[start : start + AT_ONCE], decide, now)
    return plans


async def _change_some(
    database: Database, layout: Layout, session: Session, accounts: Sequence[Account], decide: _Decide, now: int
) -> dict[Account, _Plan]:
    table, mine = layout.table(), layout.session(session.id)
    done: dict[Account, _Plan] = {}
    for _ in range(ATTEMPTS):
        # Those that were written a moment ago come later, and hold up no others.
        left = [account for account in accounts if account not in done]
        documents = await database.get_all([*map(layout.account, left), table, mine])
        if not is_alive(documents.get(session.id)):
            raise Buried
        budgets = budgets_of(documents.get(table.id))
        stands = [Stand.of(account, documents.get(account_id(account))) for account in left]
        others = {one for stand in stands for one in stand.shares} - {session.id}
        alive = await _alive(database, layout, others, now)
        if alive is None:
            continue
        # As they are now: calls may settle while the commit is under way.
        folded = {account: session.unfolded.get(account, 0) for account in left}
        last, token = session.last, new_token()
        plans: dict[Account, _Plan] = {}
        writes: list[Write] = []
        wait = 0.0
        for stand in stands:
            held, spent = session.held.get(stand.account, 0), stand.spent + folded[stand.account]
            shares = {one: share for one, share in stand.shares.items() if one in alive}
            plan = decide(stand, spent, held + sum(share.held for share in shares.values()), budgets)
            if plan.more or folded[stand.account]:
                if (quiet := layout.must_wait_s(stand.seen)) > 0:
                    wait = max(wait, quiet)
                    continue
                shares[session.id] = Share(held + plan.more, last)
                writes.append(_write(layout, stand, spent, shares, token))
            plans[stand.account] = plan
        try:
            if writes:
                await database.commit(writes)
        except ConflictingCommit:
            continue
        for account, plan in plans.items():
            _apply(session, account, plan.more, folded[account])
        done |= plans
        if len(done) == len(accounts):
            return done
        await asyncio.sleep(wait + random.uniform(0, _SPREAD_S))  # noqa: S311 - no secret
    raise too_many_conflicts("the budgets")


def _write(layout: Layout, stand: Stand, spent: int, shares: Mapping[str, Share], token: str) -> Write:
    ref = layout.account(stand.account)
    fields = stand_fields(stand.account, spent, shares, token)
    return Create(ref, fields) if stand.seen is None else Replace(ref, fields, stand.seen.update_time)


def _apply(session: Session, account: Account, more: int, folded: int) -> None:
    """The account's document has it now."""
    for amounts, change in ((session.held, more), (session.unfolded, -folded)):
        amounts[account] = max(0, amounts.get(account, 0) + change)
        if not amounts[account]:
            del amounts[account]
    if more > 0:
        session.limited.add(account)


async def _alive(database: Database, layout: Layout, sessions: set[str], now: int) -> set[str] | None:
    """Which of these sessions still hold what they hold. None when one was over and has been buried: then the accounts
    are to be read again."""
    found: dict[str, Snapshot] = await database.get_all([layout.session(one) for one in sorted(sessions)])
    open_ = {one for one, document in found.items() if document.get("open")}
    over = [one for one in open_ if found[one].get("dying") or found[one].get("expires_at") <= now]
    for one in over:
        await bury(database, layout, one, now)
    return None if over else open_
