"""`Budgets`: what the gateway asks before a call and tells after it."""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import functools
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self
from zoneinfo import ZoneInfo

from traitlets import Dict, Float, Int, TraitError, Unicode, validate
from traitlets.config import Configurable

from ...errors import StoreUnavailable
from ...ids import Clock, new_id, utcnow
from ..gateway.meter import Call, Refused, Usage
from ..identity import Person
from . import metrics, refusals
from .booking import MAX_OUTPUT_TOKENS, USUAL_CHARS_PER_TOKEN, Booking
from .leases import Leases, Short
from .ledger import HUB, Account, Budget, BudgetTable, CallRecord, Kind, Ledger
from .money import nanos
from .periods import Now, PeriodKind, Periods
from .prices import Prices
from .pruning import drop_old_calls
from .rates import Rates

log = logging.getLogger(__name__)

_CHECK_S = 1.0
_COUNT_S = 60.0
_CLOSE_LIMIT_S = 5.0


class Budgets(Configurable):
    """The Meter. Making it reads files; after that open it, and close it in the end (`async with`)."""

    contact = Unicode(
        "an administrator of this hub",
        config=True,
        help="Whom a person is told to ask when a call is refused, such as `the data team (data@example.org)`. It "
        "follows the word Ask.",
    )
    time_zone = Unicode(
        "UTC",
        config=True,
        help="In which time zone days and months begin, by its name in the IANA list, such as `Asia/Seoul`.",
    )
    default_budgets = Dict(
        {},
        config=True,
        help='What may be spent where no administrator has set a budget, in dollars: `{"person": {"day": 5, "month": '
        '50}, "group": {"month": 500}, "hub": {"day": 200}}`. `person` holds for each person, `group` for each '
        "JupyterHub group, `hub` for all together. What is left out has no limit.",
    )
    prices = Dict(
        {},
        config=True,
        help="Prices that differ from the table that comes with this version, in dollars per million tokens, by "
        'model family: `{"claude-opus-5-5": {"input": 3.60, "output": 18}}`. A family of your own needs input, '
        "output, cache_write_5m, cache_write_1h and cache_read. `server_tool_request` is dollars for one "
        "request.",
    )
    unknown_price = Dict(
        {},
        config=True,
        help="The price of models that no family of the table knows, in the same form. None given: the dearest of "
        "each kind in the table.",
    )
    allowed_models = Dict(
        {},
        config=True,
        help='The models that the people of a group may use, by patterns: `{"students": ["claude-haiku-*"], "staff": '
        '["*"], "*": ["claude-sonnet-*"]}`. Whoever is in several groups may use what any of them may; `*` is '
        "for people in no group of this list. Empty: everybody may use every model.",
    )
    requests_per_minute = Int(
        0,
        min=0,
        config=True,
        help="Calls to the model that one person may make in a minute, in each replica of the service; 0 is no limit.",
    )
    tokens_per_minute = Int(
        0,
        min=0,
        config=True,
        help="Tokens that one person may use in a minute, in each replica of the service; those read from the cache "
        "do not count, as with the API itself. 0 is no limit.",
    )
    reserved_output_tokens = Int(
        0,
        min=0,
        config=True,
        help="Output tokens that a call is reserved for at most. 0: all that it asks for (its max_tokens), so that "
        "no budget is ever overspent. Claude Code asks for 32,000 and more and uses about a thousand: with a "
        "small number here, small budgets can be used to their end, and may be overspent by what calls at the "
        "same time write beyond it.",
    )
    chars_per_token = Float(
        2.0,
        min=0.5,
        config=True,
        help="Characters of a request that a token has at the very least, for what a call may cost. English prose "
        "and code have three to four.",
    )
    cut_tokens_per_s = Float(
        100.0,
        min=0.0,
        config=True,
        help="Output tokens a second that a call is billed for when its stream was cut off before the API said what "
        "was used.",
    )
    lease_usd = Float(
        1.0,
        min=0.0,
        config=True,
        help="Dollars of a budget that a replica of the service takes ahead of need, so that calls wait for nothing. "
        "What one replica holds, the others cannot give, for as long as it is used.",
    )
    lease_s = Float(
        30.0,
        min=6.0,
        config=True,
        help="Seconds after which the leases of a replica that died return to their budgets.",
    )
    lease_idle_s = Float(
        10.0,
        min=1.0,
        config=True,
        help="Seconds after which a lease that nobody uses is returned.",
    )
    ledger_wait_s = Float(
        5.0,
        min=0.1,
        config=True,
        help="Seconds that a call waits for the ledger when nothing of its budget is held yet. After that it is "
        "refused with 503, which Claude Code tries again.",
    )
    call_limit_s = Float(
        3600.0,
        min=60.0,
        config=True,
        help="Seconds after which a call that was never settled is billed by a guess, so that its reservation ends.",
    )

    keep_calls_days = Int(
        90,
        min=0,
        config=True,
        help="Days that each call stays on record. After that it is dropped, and what is left are the sums of its day "
        "by person, group and model, for ever. 0: calls stay for ever, too. In Firestore a replica reads all that is "
        "on record when it starts.",
    )

    def __init__(self, ledger: Ledger, *, clock: Clock = utcnow, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ledger = ledger
        self.clock = clock
        self.replica = new_id(clock)
        self.price_list = Prices.load(self.prices, self.unknown_price)
        self.periods = Periods(ZoneInfo(self.time_zone))
        self._defaults = _default_budgets(self.default_budgets)
        self._table = BudgetTable(-1, {})
        self._rates = Rates(self.requests_per_minute, self.tokens_per_minute)
        self._open: set[Booking] = set()
        self._late: list[tuple[Booking, CallRecord]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self.leases = Leases(
            ledger,
            self.replica,
            clock,
            limit_of=self.limit_of,
            default_of=self._default_of,
            slice_=nanos(round(self.lease_usd, 6)),
            lease_s=self.lease_s,
            idle_s=self.lease_idle_s,
            wait_s=self.ledger_wait_s,
        )

    @validate("time_zone")
    def _known_zone(self, proposal: dict[str, Any]) -> str:
        try:
            ZoneInfo(proposal["value"])
        except (ValueError, OSError, LookupError):
            raise TraitError(f"There is no time zone {proposal['value']!r}. Use a name such as Asia/Seoul.") from None
        return str(proposal["value"])

    @validate("default_budgets", "prices", "unknown_price")
    def _sound(self, proposal: dict[str, Any]) -> Any:
        value, name = proposal["value"], proposal["trait"].name
        try:
            if name == "default_budgets":
                _default_budgets(value)
            elif value:
                Prices.load(**{"overrides" if name == "prices" else "unknown": value})
        except (ValueError, TypeError, AttributeError) as error:
            raise TraitError(f"Budgets.{name}: {error}") from None
        return value

    @validate("allowed_models")
    def _lists(self, proposal: dict[str, Any]) -> Any:
        for group, patterns in proposal["value"].items():
            if not isinstance(patterns, list | tuple) or not all(isinstance(one, str) for one in patterns):
                raise TraitError(f"Budgets.allowed_models: {group!r} needs a list of patterns such as claude-haiku-*.")
        return proposal["value"]

    # Life

    async def open(self) -> None:
        """Open the ledger and begin to look after the leases. Raises StoreUnavailable."""
        await self.ledger.open()
        try:
            await self._look()
        except BaseException:
            await self.ledger.close()
            raise
        old = drop_old_calls(self.ledger, self.clock, lambda at: self.periods.at(at).day, self.keep_calls_days)
        self._keepers = [
            asyncio.create_task(self._keep(), name="budgets"),
            asyncio.create_task(old, name="old calls"),
        ]

    async def close(self) -> None:
        """Settle what is left, return the leases, close the ledger."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers = []
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_LIMIT_S)
        with contextlib.suppress(StoreUnavailable):
            await self._settle_late()
        for booking, record in self._late:
            log.error("A call of %s (%s) could not be put on record, and is lost.", record.person, booking.id)
        await self.leases.close()
        await self.ledger.close()

    async def trouble(self) -> str:
        """Why calls cannot be metered now, in a sentence; nothing when they can."""
        try:
            await self.ledger.check()
        except StoreUnavailable as error:
            return error.message
        return ""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The meter

    async def reserve(self, call: Call) -> Booking:
        """Take what the call may cost from all its budgets. Raises Refused. Waits for the ledger only when this replica
        holds too little of a budget: for the first call after a pause, and near a budget's end."""
        try:
            return await self._reserve(call, self.clock())
        except Refused as refused:
            metrics.REFUSALS.labels(refused.error_type).inc()
            raise

    async def _reserve(self, call: Call, now: datetime) -> Booking:
        if call.model:  # Without one the API refuses it.
            self._check_model(call)
        guess = call.input_chars // USUAL_CHARS_PER_TOKEN
        if exceeded := self._rates.take(call.person.name, guess, now):
            raise refusals.too_fast(call, exceeded, self.contact)
        period = self.periods.at(now)
        accounts = _accounts(call.person.name, call.person.groups, period.day, period.month)
        need = max(1, self.most(call))
        try:
            if short := await self.leases.take(accounts, need):
                raise self._refusal(call, short, need, period, now)
        except BaseException as error:
            self._rates.correct(call.person.name, -guess, now)
            if isinstance(error, StoreUnavailable):
                log.warning("A call of %s found no ledger: %s", call.person.name, error)
                raise refusals.ledger_away(self.contact) from error
            raise
        booking = Booking(
            new_id(self.clock), call, accounts, need=need, guess=guess, day=period.day, reserved_at=now,
            prices=self.price_list, cut_tokens_per_s=self.cut_tokens_per_s, keep=self.settle,
        )  # fmt: skip
        self._open.add(booking)
        return booking

    def warm(self, person: Person) -> None:
        """Lease something of this person's budgets in the background, for calls that will come."""
        period = self.periods.at(self.clock())
        self.leases.prepare(_accounts(person.name, person.groups, period.day, period.month))

    def most(self, call: Call) -> int:
        """The most that a call may cost, in nano-dollars: all its characters as tokens of the dearest kind of input,
        and all the output that it asks for."""
        output = MAX_OUTPUT_TOKENS if call.max_tokens is None else min(max(call.max_tokens, 0), MAX_OUTPUT_TOKENS)
        if self.reserved_output_tokens:
            output = min(output, self.reserved_output_tokens)
        return self.price_list.most(call.model, math.ceil(call.input_chars / self.chars_per_token), output)

    # Budgets

    def limit_of(self, account: Account) -> int | None:
        """The limit of an account, as this replica knows it."""
        return self.budget_of(account.kind, account.name).of(account.period)

    def budget_of(self, kind: Kind, name: str) -> Budget:
        return self._table.budgets.get((kind, name)) or self._defaults[kind]

    def default_of(self, kind: Kind) -> Budget:
        """The site's default."""
        return self._defaults[kind]

    def is_default(self, kind: Kind, name: str) -> bool:
        return (kind, name) not in self._table.budgets

    def known_budgets(self) -> Mapping[tuple[Kind, str], Budget]:
        """Those that were set."""
        return self._table.budgets

    async def set_budget(self, kind: Kind, name: str, budget: Budget | None, by: str) -> None:
        """Change a budget, with effect at once here and within a second in other replicas. Raises StoreUnavailable."""
        await self.ledger.set_budget(kind, name, budget, by, self.clock())
        await self._look()

    def live(self) -> Sequence[Booking]:
        """The calls under way in this replica, the oldest first."""
        return sorted((one for one in self._open if not one.settled), key=lambda one: one.reserved_at)

    def accounts_of(self, person: Person) -> Sequence[Account]:
        """All that a call of this person counts against, now."""
        period = self.periods.at(self.clock())
        return _accounts(person.name, person.groups, period.day, period.month)

    def _default_of(self, account: Account) -> int | None:
        return self._defaults[account.kind].of(account.period)

    def _check_model(self, call: Call) -> None:
        if not self.allowed_models:
            return
        listed = [group for group in call.person.groups if group in self.allowed_models]
        chosen = listed or (["*"] if "*" in self.allowed_models else None)
        if chosen is None:
            return
        patterns = tuple(dict.fromkeys(pattern for group in chosen for pattern in self.allowed_models[group]))
        if not any(fnmatch.fnmatchcase(call.model.lower(), pattern.lower()) for pattern in patterns):
            raise refusals.model_not_allowed(call, patterns, self.contact)

    def _refusal(self, call: Call, short: Short, need: int, period: Now, now: datetime) -> Exception:
        grant = short.grant
        if grant.limit is None or grant.limit - grant.spent >= need:
            return refusals.reserved_meanwhile(call, short.account, self.contact)
        ends = period.ends(short.account.period)
        return refusals.over_budget(call, short.account, grant, need, ends, now, self.time_zone, self.contact)

    # After a call

    async def settle(self, booking: Booking, record: CallRecord) -> None:
        """Returns when the call is on record. Raises StoreUnavailable; then it is tried again in the background."""
        task = asyncio.create_task(self._settle(booking, record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A caller that goes away does not take the bill along.
        await asyncio.shield(task)

    async def _settle(self, booking: Booking, record: CallRecord) -> None:
        try:
            await self.leases.settle(booking.accounts, booking.need, record)
        except StoreUnavailable:
            self._late.append((booking, record))
            metrics.LATE.inc()
            raise
        metrics.spent(self.price_list.family(record.model), record.cost)
        self._open.discard(booking)
        counted = record.input_tokens + record.cache_write_5m_tokens + record.cache_write_1h_tokens
        self._rates.correct(record.person, counted + record.output_tokens - booking.guess, self.clock())

    async def _settle_late(self) -> None:
        late, self._late = self._late, []
        metrics.LATE.dec(len(late))
        for number, (booking, record) in enumerate(late):
            try:
                await self._settle(booking, record)
            except StoreUnavailable:
                self._late.extend(late[number + 1 :])
                metrics.LATE.inc(len(late[number + 1 :]))
                raise

    # From time to time

    async def _look(self) -> None:
        """Take over budgets that changed."""
        table = await self.ledger.budgets(self._table.version)
        if table is not None:
            self._table = table
            await self.leases.give_back()

    async def _keep(self) -> None:
        renew_every = timedelta(seconds=min(self.lease_s / 3, self.lease_idle_s))
        renew_at = self.clock() + renew_every
        count_at = self.clock()
        while True:
            await asyncio.sleep(_CHECK_S)
            now = self.clock()
            try:
                await self._look()
                await self._settle_late()
                if now >= renew_at:
                    await self.leases.renew()
                    renew_at = now + renew_every
                if now >= count_at:
                    await self._count(now)
                    count_at = now + timedelta(seconds=_COUNT_S)
                await self._end_abandoned(now)
                self._rates.forget_idle(now)
            except StoreUnavailable as error:
                log.warning("The ledger of budgets is away: %s", error)
            except Exception:
                log.exception("Looking after the budgets failed; it goes on.")

    async def _count(self, now: datetime) -> None:
        period = self.periods.at(now)
        for kind, first in ((PeriodKind.DAY, period.day), (PeriodKind.MONTH, f"{period.month}-01")):
            found = await self.ledger.activity(first, period.day, kind)
            metrics.active(kind, found[0] if found else None)

    async def _end_abandoned(self, now: datetime) -> None:
        limit = timedelta(seconds=self.call_limit_s)
        for booking in [one for one in self._open if not one.settled and now - one.reserved_at > limit]:
            log.warning("A call of %s was never settled; it is billed by a guess.", booking.call.person.name)
            await booking.settle(Usage(), status=200, duration_s=self.call_limit_s, complete=False)


@functools.lru_cache(maxsize=4096)
def _accounts(name: str, groups: tuple[str, ...], day: str, month: str) -> tuple[Account, ...]:
    whose = [(Kind.PERSON, name), *((Kind.GROUP, group) for group in dict.fromkeys(groups)), (Kind.HUB, HUB)]
    return tuple(
        Account(kind, one, period, day if period is PeriodKind.DAY else month)
        for kind, one in whose
        for period in (PeriodKind.DAY, PeriodKind.MONTH)
    )


def _default_budgets(value: Mapping[str, Mapping[str, Any]]) -> dict[Kind, Budget]:
    found = {kind: Budget() for kind in Kind}
    for kind, amounts in value.items():
        if kind not in list(Kind):
            raise ValueError(f"{kind!r} is none of {', '.join(Kind)}")
        if unknown := set(amounts) - {"day", "month"}:
            raise ValueError(f"{kind} has {sorted(unknown)[0]!r}, which is neither day nor month")
        found[Kind(kind)] = Budget(
            **{period: nanos(amount) for period, amount in amounts.items() if amount is not None}
        )
    return found
