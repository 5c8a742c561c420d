"""The ledger: every call on record, what was spent, what is leased, and the budgets. A contract, which sqlite.py and
firestore/ fulfil.

Money is in nano-dollars. An *account* is one budget in one period: ada's of 2026-11-21, the group ml's of 2026-11.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Self

from .periods import PeriodKind

HUB = "hub"
"""The name of the one budget of kind hub."""


class Kind(StrEnum):
    PERSON = "person"
    GROUP = "group"
    HUB = "hub"


class Account(NamedTuple):
    kind: Kind
    name: str
    period: PeriodKind
    key: str


@dataclass(frozen=True)
class Budget:
    """What may be spent in a day and in a month; None is no limit."""

    day: int | None = None
    month: int | None = None

    def of(self, period: PeriodKind) -> int | None:
        return self.day if period is PeriodKind.DAY else self.month


@dataclass(frozen=True)
class Ask:
    """A wish for a lease: `least` is the smallest that is of use, `want` what is wanted. `default` is the account's
    limit unless the ledger has another."""

    account: Account
    least: int
    want: int
    default: int | None


@dataclass(frozen=True)
class Grant:
    """The answer: `granted` on top of what is held (0 when less than `least` was left). `limit` None: no lease is
    needed. `held` is what is leased now, to this replica and all others."""

    granted: int
    limit: int | None
    spent: int
    held: int


@dataclass(frozen=True)
class Leased:
    """`lapsed`: all that the replica held before this has returned, because it was not renewed in time."""

    lapsed: bool
    grants: Sequence[Grant]


@dataclass(frozen=True)
class CallRecord:
    """One call. No content. `status` 0: the upstream gave none. `estimated`: the tokens are a guess, because the stream
    was cut off before the API said what was used."""

    id: str
    started_at: datetime
    day: str
    person: str
    via: str
    run_id: str | None
    agent_id: str | None
    groups: tuple[str, ...]
    model: str
    input_tokens: int
    output_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    server_tool_requests: int
    cost: int
    status: int
    duration_us: int
    stream: bool
    complete: bool
    estimated: bool

    @property
    def failed(self) -> bool:
        return not 200 <= self.status < 300


@dataclass(frozen=True)
class UsageRow:
    """Sums over the calls with the same values of what was asked `by`."""

    by: tuple[str, ...]
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    cost: int


@dataclass(frozen=True)
class CallFilter:
    """Which calls. Times from `since` up to, not including, `until`."""

    since: datetime | None = None
    until: datetime | None = None
    person: str | None = None
    group: str | None = None
    model: str | None = None
    run_id: str | None = None
    failed: bool | None = None


@dataclass(frozen=True)
class CallPage:
    calls: Sequence[CallRecord]
    next: str | None


@dataclass(frozen=True)
class Speed:
    """How the calls of a time went: how many, how many failed, and the percentiles of their duration in seconds."""

    calls: int
    failed: int
    percentiles_s: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ActiveDay:
    """`day` is a day or a month."""

    day: str
    people: int
    runs: int
    calls: int
    cost: int


@dataclass(frozen=True)
class RunSum:
    """The calls of one run. `tokens` are those of every kind; `succeeded`: its newest call did not fail."""

    run_id: str
    person: str
    agent_id: str | None
    started_at: datetime
    ended_at: datetime
    calls: int
    failed: int
    tokens: int
    cost: int
    succeeded: bool

    @property
    def length_s(self) -> float:
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class AgentSum:
    """The calls of one agent of a person's."""

    agent_id: str
    person: str
    runs: int
    calls: int
    failed: int
    cost: int
    last_at: datetime
    tokens: int = 0
    """Of every kind."""


@dataclass(frozen=True)
class Sessions:
    """How many stretches of work there were, and the percentiles of their length in seconds. A session is one person's
    calls, in runs, the terminal and notebooks, with no pause of SESSION_PAUSE_S between them."""

    sessions: int
    percentiles_s: Mapping[int, float] = field(default_factory=dict)


SESSION_PAUSE_S = 1_800
"""As web statistics count visits."""


@dataclass(frozen=True)
class Lengths:
    """How many runs there were, how many of them succeeded, and the percentiles of their length in seconds, from the
    first call to the end of the last."""

    runs: int
    succeeded: int
    percentiles_s: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """Who changed which budget, when, from what to what. None is: as the site's default says."""

    at: datetime
    by: str
    kind: Kind
    name: str
    before: Budget | None
    after: Budget | None


@dataclass(frozen=True)
class BudgetTable:
    """All budgets that were set. `version` grows with each change."""

    version: int
    budgets: Mapping[tuple[Kind, str], Budget]


class Ledger(ABC):
    """What is kept. Every method raises errors.StoreUnavailable when the ledger cannot be reached or written."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def check(self) -> None:
        """Returns when the ledger can be written."""

    # Calls and leases

    @abstractmethod
    async def settle(self, replica: str, call: CallRecord, accounts: Sequence[Account]) -> Sequence[int] | None:
        """Put the call on record, add its cost to what each account has spent, and draw it from what the replica
        holds of each; all of it or nothing. It is durable when this returns. What was drawn of each account,
        or None when a call of this id is on record already: then nothing was changed. An id is a replica's own, and
        after StoreUnavailable the same replica may try again with it."""

    @abstractmethod
    async def lease(self, replica: str, asks: Sequence[Ask], now: datetime, until: datetime) -> Leased:
        """Grant what is left. For each account, spent and all leases together never exceed its limit by a
        grant. All that the replica holds is then held until `until`; leases of replicas whose time is over
        have returned; a ledger may wait for up to half as long again, and so write less."""

    @abstractmethod
    async def renew(self, replica: str, now: datetime, until: datetime) -> bool:
        """Hold on until `until`. False: it was too late, and nothing is held any more."""

    @abstractmethod
    async def give_back(self, replica: str, amounts: Mapping[Account, int | None] | None = None) -> None:
        """Return so much of what the replica holds of each account (None: all of it), or all that it holds."""

    @abstractmethod
    async def prune(self, before: str) -> int:
        """Drop the calls of all days before `before`; their sums stay (`spent`, `names`, `usage`, `activity`). Gives
        how many went. Each replica does this for itself."""

    # Budgets

    @abstractmethod
    async def budgets(self, known: int = -1) -> BudgetTable | None:
        """All budgets; None when nothing changed since version `known`."""

    @abstractmethod
    async def set_budget(self, kind: Kind, name: str, budget: Budget | None, by: str, at: datetime) -> None:
        """Set a budget, or take it away (the site's default holds then), and write down who did."""

    @abstractmethod
    async def changes(self, limit: int, before: str | None = None) -> tuple[Sequence[Change], str | None]:
        """The newest changes first, and the cursor of the next page. Raises InvalidInput for a wrong cursor."""

    # Reports

    @abstractmethod
    async def spent(self, accounts: Collection[Account]) -> Mapping[Account, int]:
        """What each account has spent, settled calls alone."""

    @abstractmethod
    async def names(self, kind: Kind, keys: Collection[str]) -> Mapping[str, Mapping[str, int]]:
        """Who spent in these periods, and how much in each: {name: {key: spent}}."""

    @abstractmethod
    async def usage(
        self, by: Sequence[str], since: str, until: str, kind: Kind = Kind.HUB, name: str | None = None
    ) -> Sequence[UsageRow]:
        """Sums from day `since` to day `until`, both included, of one person, one group, or the hub (or of each of a
        kind, without `name`). `by` is out of day, month, model and name."""

    @abstractmethod
    async def calls(self, which: CallFilter, limit: int, before: str | None = None) -> CallPage:
        """The newest first. Raises InvalidInput for a cursor that no page gave."""

    @abstractmethod
    async def speed(self, which: CallFilter, percentiles: Sequence[int] = (50, 90, 99)) -> Speed: ...

    @abstractmethod
    async def activity(self, since: str, until: str, by: PeriodKind) -> Sequence[ActiveDay]:
        """Each day or month in which there was a call, from day `since` to day `until`."""

    @abstractmethod
    async def runs(self, which: CallFilter, limit: int) -> Sequence[RunSum]:
        """The runs with such calls, the one with the newest call first."""

    @abstractmethod
    async def agents(self, which: CallFilter, limit: int) -> Sequence[AgentSum]:
        """The agents with such calls, the one with the newest call first."""

    @abstractmethod
    async def lengths(self, which: CallFilter, percentiles: Sequence[int] = (50, 90)) -> Lengths:
        """How long the runs with such calls took."""

    async def sessions(self, which: CallFilter, percentiles: Sequence[int] = (50, 90)) -> Sessions:
        """How long people worked at a stretch. This one reads every call: a ledger that can count itself does."""
        calls: dict[str, list[tuple[float, float]]] = {}
        async for page in self.export(which):
            for call in page:
                began = call.started_at.timestamp()
                calls.setdefault(call.person, []).append((began, began + call.duration_us / 1e6))
        return sessions_of([length for spans in calls.values() for length in _stretches(sorted(spans))], percentiles)

    async def export(self, which: CallFilter, page: int = 1_000) -> AsyncIterator[Sequence[CallRecord]]:
        """All calls, newest first, in pages."""
        before: str | None = None
        while True:
            found = await self.calls(which, page, before)
            yield found.calls
            if found.next is None:
                return
            before = found.next


def _stretches(spans: Sequence[tuple[float, float]]) -> list[float]:
    """The lengths of one person's sessions, of when their calls began and ended, in order."""
    found: list[list[float]] = []
    for began, ended in spans:
        if found and began - found[-1][1] <= SESSION_PAUSE_S:
            found[-1][1] = max(found[-1][1], ended)
        else:
            found.append([began, ended])
    return [ended - began for began, ended in found]


def sessions_of(lengths_s: Sequence[float], percentiles: Sequence[int]) -> Sessions:
    """Of the sessions' lengths, the percentiles by nearest rank."""
    if not lengths_s:
        return Sessions(0)
    ordered = sorted(lengths_s)
    return Sessions(
        len(ordered), {percent: ordered[max(0, -(-percent * len(ordered) // 100) - 1)] for percent in percentiles}
    )
