"""Leases: slices of budgets that this replica holds in memory, so that a call's reservation waits for no write.

What is granted is gone for all other replicas, so spent and leased together never exceed a budget. A replica that dies
stops renewing; what it held returns when its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ...errors import StoreUnavailable
from ...ids import Clock
from .ledger import Account, Ask, CallRecord, Grant, Ledger

log = logging.getLogger(__name__)

_ROUNDS = 4
"""How often a call asks again when others took what was granted for it."""
_CLOCKS_DIFFER = timedelta(seconds=2)
"""A replica stops using its leases so much before their end, as another's clock may be ahead."""


@dataclass(frozen=True)
class Short:
    """Why a call cannot have what it needs: which account, and the ledger's last word on it."""

    account: Account
    grant: Grant


@dataclass(slots=True, eq=False)
class Held:
    """What this replica holds of one account. Neither number is ever below zero."""

    account: Account
    amount: int = 0
    reserved: int = 0
    asked: int = 0
    least: int = 0
    grant: Grant | None = None
    used_at: datetime | None = None
    refill_after: datetime | None = None

    @property
    def free(self) -> int:
        return max(0, self.amount - self.reserved)


class Leases:
    """What one replica holds. `limit_of` gives the limit of an account as this replica knows it (None: no lease
    needed), `default_of` the site's default. `slice_` is what is leased ahead of need, at least."""

    def __init__(
        self,
        ledger: Ledger,
        replica: str,
        clock: Clock,
        *,
        limit_of: Callable[[Account], int | None],
        default_of: Callable[[Account], int | None],
        slice_: int,
        lease_s: float,
        idle_s: float,
        wait_s: float,
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._clock = clock
        self._limit_of = limit_of
        self._default_of = default_of
        self._slice = slice_
        self._lease = timedelta(seconds=lease_s)
        self._idle = timedelta(seconds=idle_s)
        self._wait_s = wait_s
        self._held: dict[Account, Held] = {}
        self._until: datetime | None = None
        self._asking = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # On a call's path

    async def take(self, accounts: Sequence[Account], need: int) -> Short | None:
        """Reserve `need` of each account, or of none: then the answer says which had too little. Waits only when too
        little is held. Raises StoreUnavailable."""
        for _ in range(_ROUNDS):
            if self._take(accounts, need):
                return None
            await self._ask([held for held in self._limited(accounts) if self._free(held) < need], need)
            short = None
            for held in self._limited(accounts):
                if held.grant is not None and self._free(held) < need:
                    short = Short(held.account, held.grant)
                    if not held.grant.granted:
                        return short
        if self._take(accounts, need):
            return None
        if short is not None:
            return short
        raise StoreUnavailable("The budgets are changing too fast at the moment. Try again in a second.")

    async def settle(self, accounts: Sequence[Account], need: int, call: CallRecord) -> None:
        """Put the call on record and give back what was reserved for it. When the ledger fails, the reservation stays,
        and this may be called again. Raises StoreUnavailable."""
        drawn = await self._ledger.settle(self._replica, call, accounts) or [0] * len(accounts)
        for account, amount in zip(accounts, drawn, strict=True):
            held = self._of(account)
            # What was drawn, not what it cost: so memory and ledger stay in step, whatever the order of answers.
            held.amount = max(0, held.amount - amount)
            held.reserved = max(0, held.reserved - need)

    def prepare(self, accounts: Sequence[Account]) -> None:
        """Lease something of each account in the background."""
        now = self._clock()
        for held in self._limited(accounts):
            if not self._free(held) and (held.refill_after is None or held.refill_after <= now):
                # For a while it does not lie idle.
                held.used_at = now
                self._refill(held, 1, now)

    def _take(self, accounts: Sequence[Account], need: int) -> bool:
        limited = self._limited(accounts)
        if any(self._free(held) < need for held in limited):
            return False
        now = self._clock()
        for account in accounts:
            # Those without a limit too: they may get one while the call is under way.
            held = self._of(account)
            held.reserved += need
            held.used_at = now
        for held in limited:
            if held.free < max(self._slice // 2, need) and (held.refill_after is None or held.refill_after <= now):
                self._refill(held, need, now)
        return True

    def _of(self, account: Account) -> Held:
        held = self._held.get(account)
        if held is None:
            held = self._held[account] = Held(account)
        return held

    def _limited(self, accounts: Iterable[Account]) -> list[Held]:
        holds = [self._of(account) for account in accounts if self._limit_of(account) is not None]
        # Where the ledger knows better that there is no limit any more, the next look at the budgets will show it.
        return [held for held in holds if held.grant is None or held.grant.limit is not None]

    def _free(self, held: Held) -> int:
        return held.free if self._until is not None and self._clock() < self._until - _CLOCKS_DIFFER else 0

    # Asking the ledger

    def _refill(self, held: Held, need: int, now: datetime) -> None:
        """Lease more in the background, before it is needed."""
        held.refill_after = now + timedelta(seconds=1)
        held.least = min(held.least or need, need)
        held.asked += need + held.free
        self._asked()

    async def _ask(self, short: Sequence[Held], need: int) -> None:
        now = self._clock()
        for held in short:
            held.least = min(held.least or need, need)
            held.asked += need
            held.used_at = now
        try:
            async with asyncio.timeout(self._wait_s):
                await asyncio.shield(self._asked())
        except TimeoutError:
            raise StoreUnavailable(f"The budgets did not answer within {self._wait_s:g} s. Try again.") from None

    def _asked(self) -> asyncio.Task[None]:
        """The question that will carry what was just asked: one is under way at a time, and one gathers meanwhile."""
        if self._next is None:
            self._next = asyncio.create_task(self._carry())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._done)
        return self._next

    async def _carry(self) -> None:
        async with self._asking:
            self._next = None
            holds = [held for held in self._held.values() if held.asked]
            asks = []
            for held in holds:
                # What is free already counts: the callers' needs come out of both.
                free = self._free(held)
                asks.append(
                    Ask(
                        held.account,
                        least=max(1, held.least - free),
                        want=max(1, held.asked - free) + self._slice,
                        default=self._default_of(held.account),
                    )
                )
                held.asked = held.least = 0
            if not asks:
                return
            now = self._clock()
            until = now + self._lease
            answer = await self._ledger.lease(self._replica, asks, now, until)
            if answer.lapsed:
                self._lapse()
            self._until = until
            for held, grant in zip(holds, answer.grants, strict=True):
                held.amount += grant.granted
                held.grant = grant

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("Budgets could not be leased: %s", error)

    # Holding on, from time to time

    async def renew(self) -> None:
        """Hold on to what is held, and return what nobody used for a while. Raises StoreUnavailable."""
        async with self._asking:
            now = self._clock()
            if self._until is not None:
                until = now + self._lease
                if await self._ledger.renew(self._replica, now, until):
                    self._until = until
                else:
                    self._lapse()
            before = now - self._idle
            idle = [held for held in self._held.values() if held.used_at is None or held.used_at <= before]
            await self._give_back(idle)

    async def give_back(self) -> None:
        """Return all that no call under way has a part in, so that the next call asks the ledger, which knows the
        budgets as they are now. Raises StoreUnavailable."""
        async with self._asking:
            await self._give_back([*self._held.values()])

    async def _give_back(self, holds: Sequence[Held]) -> None:
        amounts: dict[Account, int | None] = {}
        for held in holds:
            held.grant = None
            # Gone before the ledger knows: what is on its way back must not be taken.
            if held.reserved or held.asked:
                if held.free:
                    amounts[held.account] = held.free
                    held.amount -= held.free
            else:
                if held.amount:
                    amounts[held.account] = None
                held.amount = 0
                del self._held[held.account]
        if amounts:
            await self._ledger.give_back(self._replica, amounts)

    async def close(self) -> None:
        """Return everything."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._held.clear()
        self._until = None
        with contextlib.suppress(StoreUnavailable):  # It returns by itself when its time is over.
            await self._ledger.give_back(self._replica)

    def held(self) -> dict[Account, int]:
        """What is held now, of each account."""
        return {account: held.amount for account, held in self._held.items()}

    def _lapse(self) -> None:
        self._until = None
        for held in self._held.values():
            held.amount = 0
