"""What the HTTP API of budgets carries. Money is a text with exact dollars, such as `2.50`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .ledger import ActiveDay, AgentSum, Budget, CallRecord, Change, Kind, UsageRow
from .money import dollars, nanos
from .periods import PeriodKind


def _amount(value: str) -> str:
    return dollars(nanos(value))


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Dollars = Annotated[str, Field(max_length=40, examples=["2.50"]), AfterValidator(_amount)]


class BudgetBody(Answer):
    """A budget to set. Null is no limit; 0 is nothing at all."""

    day_usd: Dollars | None = Field(description="What may be spent in a day.")
    month_usd: Dollars | None = Field(description="What may be spent in a month.")

    @property
    def budget(self) -> Budget:
        return Budget(*(None if value is None else nanos(value) for value in (self.day_usd, self.month_usd)))


class PeriodLeft(Answer):
    period: PeriodKind
    key: str = Field(description="Which day or month: `2026-11-21`, `2026-11`.")
    limit_usd: str | None
    spent_usd: str = Field(description="Of calls that ended.")
    left_usd: str | None = Field(description="Null without a limit.")
    ends_at: datetime


class BudgetState(Answer):
    kind: Kind
    name: str
    is_default: bool = Field(description="Nobody set it: the site's default holds.")
    periods: list[PeriodLeft]


class MyBudgets(Answer):
    contact: str
    budgets: list[BudgetState]


class UsageSum(Answer):
    by: dict[str, str] = Field(description="The values of what was asked `by`.")
    calls: int
    failed: int
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    cost_usd: str

    @classmethod
    def of(cls, by: tuple[str, ...], row: UsageRow) -> UsageSum:
        return cls(
            by=dict(zip(by, row.by, strict=True)), calls=row.calls, failed=row.failed, input_tokens=row.input_tokens,
            output_tokens=row.output_tokens, cache_write_tokens=row.cache_write_tokens,
            cache_read_tokens=row.cache_read_tokens, cost_usd=dollars(row.cost),
        )  # fmt: skip


class UsageAnswer(Answer):
    since: str
    until: str
    time_zone: str
    rows: list[UsageSum]


class CallAnswer(Answer):
    """One call. No content is kept."""

    id: str
    started_at: datetime
    person: str
    via: str = Field(description="user, server or run: by what the person came.")
    run_id: str | None
    agent_id: str | None
    groups: list[str]
    model: str
    input_tokens: int
    output_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_read_tokens: int
    server_tool_requests: int
    cost_usd: str
    status: int = Field(description="0: the upstream gave none.")
    duration_s: float
    stream: bool
    complete: bool = Field(description="False: the stream was cut off.")
    estimated: bool = Field(description="The tokens are a guess: nothing said what was used.")

    @classmethod
    def of(cls, call: CallRecord) -> CallAnswer:
        same = {name: getattr(call, name) for name in cls.model_fields if hasattr(call, name)}
        return cls(**same | {"groups": [*call.groups]}, cost_usd=dollars(call.cost), duration_s=call.duration_us / 1e6)


class CallsAnswer(Answer):
    items: list[CallAnswer]
    next: str | None = Field(description="Give it as `before` for the page after this one.")


class AgentAnswer(Answer):
    """What one agent of a person's used."""

    agent_id: str
    person: str
    runs: int
    calls: int
    failed: int
    tokens: int = Field(description="Of every kind.")
    cost_usd: str
    last_at: datetime = Field(description="When it made its newest call.")

    @classmethod
    def of(cls, row: AgentSum) -> AgentAnswer:
        return cls(
            agent_id=row.agent_id, person=row.person, runs=row.runs, calls=row.calls, failed=row.failed,
            tokens=row.tokens, cost_usd=dollars(row.cost), last_at=row.last_at,
        )  # fmt: skip


class AgentsAnswer(Answer):
    items: list[AgentAnswer] = Field(description="The one that cost most first.")


class SpeedAnswer(Answer):
    calls: int
    failed: int
    error_rate: float
    latency_s: dict[str, float] = Field(description="p50, p90 and p99 of the calls that did not fail.")


class ActiveAnswer(Answer):
    period: str = Field(description="A day or a month.")
    people: int
    runs: int
    calls: int
    cost_usd: str

    @classmethod
    def of(cls, row: ActiveDay) -> ActiveAnswer:
        return cls(period=row.day, people=row.people, runs=row.runs, calls=row.calls, cost_usd=dollars(row.cost))


class ActivityAnswer(Answer):
    days: list[ActiveAnswer]
    months: list[ActiveAnswer]


class BudgetsAnswer(Answer):
    defaults: dict[Kind, BudgetBody]
    budgets: list[BudgetState] = Field(description="All that were set, and all who spent this month.")


class ChangeAnswer(Answer):
    at: datetime
    by: str
    kind: Kind
    name: str
    before: BudgetBody | None = Field(description="Null: the site's default.")
    after: BudgetBody | None

    @classmethod
    def of(cls, change: Change) -> ChangeAnswer:
        return cls(
            at=change.at, by=change.by, kind=change.kind, name=change.name,
            before=body_of(change.before), after=body_of(change.after),
        )  # fmt: skip


class ChangesAnswer(Answer):
    items: list[ChangeAnswer]
    next: str | None


def body_of(budget: Budget | None) -> BudgetBody | None:
    if budget is None:
        return None
    amounts = (None if amount is None else dollars(amount) for amount in (budget.day, budget.month))
    return BudgetBody(**dict(zip(("day_usd", "month_usd"), amounts, strict=True)))
