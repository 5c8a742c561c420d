"""HTTP: what I used and what is left for me; for administrators the same of everybody, and the budgets to edit.

Administrators are people whose own token or page says so: neither a workspace's token nor a run's key opens what is
theirs, so that no agent edits its own budget.
"""

# No `from __future__ import annotations` here: FastAPI reads the annotations, and some name what is local.

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response, StreamingResponse

from ...errors import InvalidInput, NotAllowed
from ..identity import Person
from .answers import (
    ActiveAnswer,
    ActivityAnswer,
    AgentAnswer,
    AgentsAnswer,
    BudgetBody,
    BudgetsAnswer,
    BudgetState,
    CallAnswer,
    CallsAnswer,
    ChangeAnswer,
    ChangesAnswer,
    MyBudgets,
    SpeedAnswer,
    UsageAnswer,
    UsageSum,
    body_of,
)
from .export import agents_csv, csv_lines
from .ledger import HUB, Budget, Kind
from .meter import Budgets
from .periods import PeriodKind
from .views import by_agent, calls_within, days, everybodys, states

MAX_PAGE = 500
PERCENTILES = (50, 90, 99)

Day = Annotated[date | None, Query(description="A day of the site's time zone, such as 2026-11-21.")]
Name = Annotated[str, Path(min_length=1, max_length=255)]
Text = Annotated[str | None, Query(min_length=1, max_length=255)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Cursor = Annotated[str | None, Query(max_length=100, description="The `next` of the page before.")]
By = Annotated[str, Query(max_length=50, description="One or more of the choices, joined by commas.")]


def _known_parameters(request: Request) -> None:
    """Refuse what a misspelt filter would silently widen."""
    route = request.scope["route"]
    names = {field.alias for dependant in _with_parts(route.dependant) for field in dependant.query_params}
    if unknown := [name for name in request.query_params if name not in names]:
        raise InvalidInput(f"{unknown[0][:100]!r} is not known here. Known are: {', '.join(sorted(names)) or 'none'}.")


def _with_parts(dependant: Dependant) -> list[Dependant]:
    return [dependant, *(one for part in dependant.dependencies for one in _with_parts(part))]


def budgets_router(budgets: Budgets, person: Callable[..., Awaitable[Person]]) -> APIRouter:
    """The routes, relative to the service's prefix. `person` is the FastAPI dependency that says who asks; it raises
    when nobody is known. Errors are errors.AgentsError, for the application to encode."""
    router = APIRouter(prefix="/api", tags=["budgets"], dependencies=[Depends(_known_parameters)])

    async def known(who: Annotated[Person, Depends(person)]) -> Person:
        if who.kind == "run":
            raise NotAllowed("The key of a run opens the model alone. Use a token of your own for this.")
        return who

    async def admin(who: Annotated[Person, Depends(person)]) -> Person:
        if who.kind != "user" or not who.admin:
            raise NotAllowed(
                f"This is for administrators of the hub, with a token of their own. Ask {budgets.contact}."
            )
        return who

    Known = Annotated[Person, Depends(known)]
    Admin = Annotated[Person, Depends(admin)]

    async def usage(
        by: str, choices: Sequence[str], since: date | None, until: date | None, kind: Kind, name: str | None
    ) -> UsageAnswer:
        asked = tuple(dict.fromkeys(by.split(",")))
        if not set(asked) <= set(choices):
            raise InvalidInput(f"by is {by!r}: give one or more of {', '.join(choices)}, joined by commas.")
        first, last = days(budgets, since, until)
        columns = ["name" if part in ("person", "group") else part for part in asked]
        rows = await budgets.ledger.usage(columns, first.isoformat(), last.isoformat(), kind, name)
        return UsageAnswer(
            since=first.isoformat(), until=last.isoformat(), time_zone=budgets.time_zone,
            rows=[UsageSum.of(asked, row) for row in rows],
        )  # fmt: skip

    def checked(kind: Kind, name: str) -> tuple[Kind, str]:
        if kind is Kind.HUB and name != HUB:
            raise InvalidInput(f"The hub has one budget, named {HUB!r}, and none named {name!r}.")
        return kind, name

    # Mine

    @router.get("/usage/me")
    async def my_usage(who: Known, since: Day = None, until: Day = None, by: By = "day") -> UsageAnswer:
        """What I used, each day or month or by model, of the last 30 days unless asked otherwise."""
        return await usage(by, ("day", "month", "model"), since, until, Kind.PERSON, who.name)

    @router.get("/budgets/me")
    async def my_budgets(who: Known) -> MyBudgets:
        """What is left of each budget that my calls count against."""
        whose = dict.fromkeys((account.kind, account.name) for account in budgets.accounts_of(who))
        # What all others spent is not mine to see, unless it limits me.
        seen = [one for one in whose if one[0] is Kind.PERSON or budgets.budget_of(*one) != Budget()]
        return MyBudgets(contact=budgets.contact, budgets=await states(budgets, seen))

    @router.get("/calls/me")
    async def my_calls(
        who: Known, since: Day = None, until: Day = None, model: Text = None, run: Text = None,
        failed: bool | None = None, limit: Limit = 100, before: Cursor = None,
    ) -> CallsAnswer:  # fmt: skip
        """My calls, newest first."""
        which = calls_within(budgets, since, until, person=who.name, model=model, run_id=run, failed=failed)
        page = await budgets.ledger.calls(which, limit, before)
        return CallsAnswer(items=[CallAnswer.of(call) for call in page.calls], next=page.next)

    # Everybody's

    @router.get("/usage")
    async def all_usage(
        _: Admin, since: Day = None, until: Day = None, by: By = "day", person: Text = None, group: Text = None
    ) -> UsageAnswer:
        """What was used: by day, month, model, person or group; of one person or one group, when asked."""
        if person is not None and group is not None:
            raise InvalidInput("Ask for one person or for one group, not for both.")
        parts = by.split(",")
        if "person" in parts and "group" in parts:
            raise InvalidInput("A call counts for one person and for each of their groups: ask by person, or by group.")
        kind, name = Kind.HUB, None
        if person is not None or "person" in parts:
            kind, name = Kind.PERSON, person
        if group is not None or "group" in parts:
            if kind is Kind.PERSON:
                raise InvalidInput("Ask for one person's calls by day, month or model, and for a group's the same.")
            kind, name = Kind.GROUP, group
        return await usage(by, ("day", "month", "model", "person", "group"), since, until, kind, name)

    @router.get("/usage/agents")
    async def agents_usage(_: Admin, since: Day = None, until: Day = None, person: Text = None) -> AgentsAnswer:
        """What each agent used; of one person's, when asked. Calls of the terminal and of notebooks are of none."""
        found = await by_agent(budgets, calls_within(budgets, since, until, person=person))
        return AgentsAnswer(items=[AgentAnswer.of(row) for row in found])

    @router.get("/usage/agents.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    async def agents_export(_: Admin, since: Day = None, until: Day = None, person: Text = None) -> Response:
        """The same as CSV."""
        found = await by_agent(budgets, calls_within(budgets, since, until, person=person))
        headers = {"Content-Disposition": 'attachment; filename="agents.csv"'}
        return Response(agents_csv(found), media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/calls")
    async def all_calls(
        _: Admin, since: Day = None, until: Day = None, person: Text = None, group: Text = None, model: Text = None,
        run: Text = None, failed: bool | None = None, limit: Limit = 100, before: Cursor = None,
    ) -> CallsAnswer:  # fmt: skip
        """Every call, newest first. No content is kept."""
        which = calls_within(budgets, since, until, person=person, group=group, model=model, run_id=run, failed=failed)
        page = await budgets.ledger.calls(which, limit, before)
        return CallsAnswer(items=[CallAnswer.of(call) for call in page.calls], next=page.next)

    @router.get("/calls.csv", response_class=StreamingResponse)
    async def export(
        _: Admin, since: Day = None, until: Day = None, person: Text = None, group: Text = None, model: Text = None,
        run: Text = None, failed: bool | None = None,
    ) -> StreamingResponse:  # fmt: skip
        """The same as CSV, however many."""
        which = calls_within(budgets, since, until, person=person, group=group, model=model, run_id=run, failed=failed)
        headers = {"Content-Disposition": 'attachment; filename="calls.csv"'}
        lines = csv_lines(budgets.ledger.export(which))
        return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)

    @router.get("/calls/speed")
    async def speed(
        _: Admin, since: Day = None, until: Day = None, person: Text = None, model: Text = None
    ) -> SpeedAnswer:
        """How many calls failed, and how long the others took."""
        found = await budgets.ledger.speed(calls_within(budgets, since, until, person=person, model=model), PERCENTILES)
        return SpeedAnswer(
            calls=found.calls, failed=found.failed, error_rate=found.failed / found.calls if found.calls else 0.0,
            latency_s={f"p{percent}": seconds for percent, seconds in found.percentiles_s.items()},
        )  # fmt: skip

    @router.get("/activity")
    async def activity(_: Admin, since: Day = None, until: Day = None) -> ActivityAnswer:
        """How many people made calls, in how many runs, each day and each month."""
        first, last = (day.isoformat() for day in days(budgets, since, until))
        by_day = await budgets.ledger.activity(first, last, PeriodKind.DAY)
        by_month = await budgets.ledger.activity(first, last, PeriodKind.MONTH)
        return ActivityAnswer(days=[*map(ActiveAnswer.of, by_day)], months=[*map(ActiveAnswer.of, by_month)])

    @router.get("/budgets")
    async def all_budgets(_: Admin) -> BudgetsAnswer:
        """The site's defaults, every budget that was set, and everybody who spent this month."""
        defaults = {kind: body_of(budgets.default_of(kind)) for kind in Kind}
        return BudgetsAnswer(
            defaults={kind: body for kind, body in defaults.items() if body is not None},
            budgets=await everybodys(budgets),
        )

    @router.get("/budget-changes")
    async def changes(_: Admin, limit: Limit = 100, before: Cursor = None) -> ChangesAnswer:
        """Who changed which budget, newest first."""
        items, next_ = await budgets.ledger.changes(limit, before)
        return ChangesAnswer(items=[ChangeAnswer.of(change) for change in items], next=next_)

    @router.get("/budgets/{kind}/{name:path}")
    async def one_budget(_: Admin, kind: Kind, name: Name) -> BudgetState:
        """One budget, and what is left of it. The hub's own is `hub/hub`."""
        return (await states(budgets, [checked(kind, name)]))[0]

    @router.put("/budgets/{kind}/{name:path}")
    async def set_budget(who: Admin, kind: Kind, name: Name, body: BudgetBody) -> BudgetState:
        """Set a budget, with effect at once."""
        await budgets.set_budget(*checked(kind, name), body.budget, who.name)
        return (await states(budgets, [(kind, name)]))[0]

    @router.delete("/budgets/{kind}/{name:path}")
    async def unset_budget(who: Admin, kind: Kind, name: Name) -> BudgetState:
        """Take a budget away: the site's default holds again."""
        await budgets.set_budget(*checked(kind, name), None, who.name)
        return (await states(budgets, [(kind, name)]))[0]

    return router
