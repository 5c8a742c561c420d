"""The HTTP API of budgets: what it answers, and whom."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse

from jupyterhub_agents import errors
from jupyterhub_agents.service.budgets.api import budgets_router
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.gateway.meter import Refused, Usage
from jupyterhub_agents.service.identity import Person

from .conftest import MODEL, MakeBudgets, MovedClock, call, make_person

pytestmark = pytest.mark.anyio

PEOPLE = {
    "ada": make_person("ada", groups=("ml", "a/b")),
    "grace": make_person("grace"),
    "root": make_person("root", admin=True),
    "root's workspace": make_person("root", admin=True, kind="server"),
    "root's run": make_person("root", admin=True, kind="run", run_id="1"),
    "ada's run": make_person("ada", kind="run", run_id="2", agent_id="helper"),
}
PAGE = Path(__file__).parents[3] / "docs" / "budgets.md"
MINE = {"/api/usage/me", "/api/budgets/me", "/api/calls/me"}


async def person(x_who: Annotated[str, Header()] = "") -> Person:
    if x_who not in PEOPLE:
        raise errors.NotAllowed("Nobody is known.")
    return PEOPLE[x_who]


@pytest.fixture
async def budgets(make_budgets: MakeBudgets) -> AsyncIterator[Budgets]:
    async with await make_budgets(default_budgets={"person": {"day": 5}}, contact="the data team") as budgets:
        yield budgets


@pytest.fixture
def app(budgets: Budgets) -> FastAPI:
    app = FastAPI()
    app.include_router(budgets_router(budgets, person))

    @app.exception_handler(errors.AgentsError)
    async def answer(request: Request, error: errors.AgentsError) -> JSONResponse:
        status, body = errors.encode(error)
        return JSONResponse(body, status)

    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        yield http


def who(name: str) -> dict[str, str]:
    return {"x-who": name}


async def spend(budgets: Budgets, name: str = "ada", **changes: Any) -> None:
    booking = await budgets.reserve(call(PEOPLE[name], **changes))
    await booking.settle(Usage(output_tokens=1000), status=200, duration_s=2, complete=True)


def operations(app: FastAPI) -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    found = [(method, path) for path, item in paths.items() for method in item]
    assert len(found) >= 13
    return found


async def test_the_page_about_budgets_has_every_route(app: FastAPI) -> None:
    page = PAGE.read_text()
    for method, path in operations(app):
        assert f"`{method.upper()} {path.removeprefix('/')}`" in page, (method, path)


async def test_every_route_refuses_those_who_may_not(app: FastAPI, http: httpx.AsyncClient) -> None:
    for method, path in operations(app):
        url = path.replace("{kind}", "person").replace("{name}", "ada")
        body = {"day_usd": "1", "month_usd": None} if method == "put" else None
        wrong = ["", "root's run", "ada's run"]
        if path not in MINE:
            wrong += ["ada", "grace", "root's workspace"]
        for name in wrong:
            answer = await http.request(method, url, headers=who(name), json=body)
            assert answer.status_code == 403, (method, path, name)
            assert answer.json()["code"] == "not_allowed"
        right = await http.request(method, url, headers=who("root" if path not in MINE else "ada"), json=body)
        assert right.status_code == 200, (method, path, right.text)


async def test_a_person_sees_their_own_calls_and_nobody_elses(budgets: Budgets, http: httpx.AsyncClient) -> None:
    await spend(budgets, "ada")
    await spend(budgets, "grace")
    for path in ("/api/usage/me", "/api/calls/me"):
        text = (await http.get(path, headers=who("ada"))).text
        assert "grace" not in text
    rows = (await http.get("/api/usage/me?by=model", headers=who("ada"))).json()["rows"]
    assert [(row["by"], row["calls"], row["cost_usd"]) for row in rows] == [({"model": MODEL}, 1, "0.005")]
    calls = (await http.get("/api/calls/me", headers=who("ada"))).json()["items"]
    assert [item["person"] for item in calls] == ["ada"]


async def test_my_budgets_say_what_is_left_and_until_when(budgets: Budgets, http: httpx.AsyncClient) -> None:
    await spend(budgets)
    mine = (await http.get("/api/budgets/me", headers=who("ada"))).json()
    assert mine["contact"] == "the data team"
    (ada,) = mine["budgets"]
    day = ada["periods"][0]
    assert (day["limit_usd"], day["spent_usd"], day["left_usd"]) == ("5.00", "0.005", "4.995")
    assert day["ends_at"] == "2026-11-22T00:00:00Z"
    assert ada["periods"][1]["limit_usd"] is None


async def test_a_budget_bites_at_once_when_it_is_set_and_lets_go_when_it_is_taken_away(
    budgets: Budgets, http: httpx.AsyncClient
) -> None:
    await spend(budgets)
    body = {"day_usd": "0.007", "month_usd": None}
    answer = await http.put("/api/budgets/person/ada", headers=who("root"), json=body)
    assert answer.json()["periods"][0]["limit_usd"] == "0.007"
    with pytest.raises(Refused):
        await budgets.reserve(call())
    await http.delete("/api/budgets/person/ada", headers=who("root"))
    await spend(budgets)
    changes = (await http.get("/api/budget-changes", headers=who("root"))).json()["items"]
    assert [(one["by"], one["name"], one["before"], one["after"]) for one in changes] == [
        ("root", "ada", body, None),
        ("root", "ada", None, body),
    ]


async def test_groups_with_slashes_have_budgets_too(budgets: Budgets, http: httpx.AsyncClient) -> None:
    body = {"day_usd": "0", "month_usd": None}
    answer = await http.put("/api/budgets/group/a/b", headers=who("root"), json=body)
    assert (answer.json()["kind"], answer.json()["name"]) == ("group", "a/b")
    with pytest.raises(Refused, match="The group a/b has a budget of"):
        await budgets.reserve(call(PEOPLE["ada"]))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"day_usd": "1"},
        {"day_usd": "-1", "month_usd": None},
        {"day_usd": "NaN", "month_usd": None},
        {"day_usd": "1e99", "month_usd": None},
        {"day_usd": "0.0000000001", "month_usd": None},
        {"day_usd": "0e999999999", "month_usd": "1e-999999999"},
        {"day_usd": "1", "month_usd": None, "week_usd": "1"},
    ],
)
async def test_a_wrong_budget_changes_nothing(body: dict[str, Any], http: httpx.AsyncClient) -> None:
    answer = await http.put("/api/budgets/person/ada", headers=who("root"), json=body)
    assert answer.status_code == 422
    assert (await http.get("/api/budget-changes", headers=who("root"))).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        "usage?by=colour", "usage?by=person,group", "usage?person=ada&group=ml", "usage?persn=ada",
        "usage?since=2026-02-02&until=2026-02-01", "usage/me?person=grace", "usage?since=0001-01-01",
        "calls?before=x", "calls?since=0001-01-01&until=0001-01-02", "calls?until=9999-12-31&since=9999-12-30",
        "budgets/hub/other",
    ],
)  # fmt: skip
async def test_a_wrong_question_is_told_what_is_wrong(query: str, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/api/{query}", headers=who("root"))
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "invalid_input"


async def test_spend_is_shown_by_person_group_model_day_and_month(budgets: Budgets, http: httpx.AsyncClient) -> None:
    await spend(budgets, "ada")
    await spend(budgets, "ada", model="claude-haiku-5-5")
    await spend(budgets, "grace")

    async def rows(query: str) -> list[tuple[list[str], int]]:
        answer = await http.get(f"/api/usage?{query}", headers=who("root"))
        return [([*row["by"].values()], row["calls"]) for row in answer.json()["rows"]]

    assert await rows("by=person") == [(["ada"], 2), (["grace"], 1)]
    assert await rows("by=group") == [(["a/b"], 2), (["ml"], 2)]
    assert await rows("by=model") == [([MODEL], 2), (["claude-haiku-5-5"], 1)]
    assert await rows("by=day,model&person=ada") == [
        (["2026-11-21", MODEL], 1),
        (["2026-11-21", "claude-haiku-5-5"], 1),
    ]
    assert await rows("by=month&group=ml") == [(["2026-11"], 2)]
    assert await rows("until=2026-11-20") == []


async def test_calls_come_newest_first_in_pages_and_as_csv(
    budgets: Budgets, http: httpx.AsyncClient, clock: MovedClock
) -> None:
    for _ in range(5):
        clock.pass_(minutes=1)
        await spend(budgets, model='=HYPERLINK("x")')
    seen: list[str] = []
    before = ""
    while True:
        page = (await http.get(f"/api/calls?limit=2{before}", headers=who("root"))).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 5
    answer = await http.get("/api/calls.csv", headers=who("root"))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert [row["id"] for row in rows] == seen
    assert rows[0]["model"] == '\'=HYPERLINK("x")', "a spreadsheet must not run it"
    assert rows[0]["groups"] == "ml a/b"


async def test_error_rate_latency_and_activity_are_counted(
    budgets: Budgets, http: httpx.AsyncClient, clock: MovedClock
) -> None:
    for seconds, status in [(1, 200), (2, 200), (3, 200), (9, 529)]:
        booking = await budgets.reserve(call(make_person("ada", kind="run", run_id=f"run {seconds}")))
        usage = Usage(output_tokens=1 if status == 200 else 0)
        await booking.settle(usage, status=status, duration_s=seconds, complete=True)
    clock.pass_(days=1)
    await spend(budgets, "grace")
    speed = (await http.get("/api/calls/speed?until=2026-11-21", headers=who("root"))).json()
    assert speed == {"calls": 4, "failed": 1, "error_rate": 0.25, "latency_s": {"p50": 2, "p90": 3, "p99": 3}}
    activity = (await http.get("/api/activity", headers=who("root"))).json()
    assert [(day["period"], day["people"], day["runs"], day["calls"]) for day in activity["days"]] == [
        ("2026-11-21", 1, 4, 4),
        ("2026-11-22", 1, 0, 1),
    ]
    assert [(month["period"], month["people"]) for month in activity["months"]] == [("2026-11", 2)]


async def test_an_admin_sees_all_budgets_and_all_who_spent(budgets: Budgets, http: httpx.AsyncClient) -> None:
    await spend(budgets, "grace")
    await http.put("/api/budgets/group/staff", headers=who("root"), json={"day_usd": None, "month_usd": "100"})
    answer = (await http.get("/api/budgets", headers=who("root"))).json()
    assert answer["defaults"]["person"] == {"day_usd": "5.00", "month_usd": None}
    assert [(one["kind"], one["name"], one["is_default"]) for one in answer["budgets"]] == [
        ("hub", "hub", True),
        ("group", "staff", False),
        ("person", "grace", True),
    ]
