"""The addresses of the pages, and what each answers."""

# No `from __future__ import annotations` here: FastAPI reads the annotations, and some name what is local.

from collections.abc import Callable, Coroutine
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from ... import errors
from ...errors import AgentsError, InvalidInput, NotAllowed
from ...models import RunId
from ..budgets import views
from ..budgets.answers import BudgetBody, BudgetState, Dollars
from ..budgets.export import agents_csv, csv_lines
from ..budgets.ledger import HUB, Kind
from ..budgets.meter import Budgets
from . import figures
from .activity import Activity
from .cancelling import cancel
from .everybody import Everybody
from .render import LANGUAGE_COOKIE, STATIC, Pages
from .sign_in import MustAskForMore, MustSignIn, Reader, SignIn, navigates
from .words import LANGUAGES

if TYPE_CHECKING:
    from ..app import AgentsService

YEAR_S = 365 * 86_400

Owner = Annotated[str, Path(min_length=1, max_length=255)]
Days = Annotated[int, Query(ge=1, le=figures.SPANS[-1])]


class BudgetEdit(BaseModel):
    """A change from the page. `default` true: what was set is taken away, and the site's default holds."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    name: Annotated[str, Field(min_length=1, max_length=255)]
    default: bool = False
    day_usd: Dollars | None = None
    month_usd: Dollars | None = None


def add_pages(app: FastAPI, service: "AgentsService", budgets: Budgets) -> None:
    """Everything under the service's prefix that a browser reads."""
    prefix = service.prefix.rstrip("/")
    pages = Pages(
        prefix=service.prefix, hub_url=service.hub_url, time_zone=budgets.time_zone, refresh_s=service.refresh_s
    )
    slow = figures.remember_slow()
    everybody = Everybody(service.store, budgets)
    sign_in = SignIn(
        authorize_url=f"{service.hub_url}api/oauth2/authorize",
        client_id=service.oauth_client_id,
        redirect_uri=service.oauth_redirect_uri,
        prefix=service.prefix,
        secret=service.run_key_secret_bytes,
        service=service.service_name,
    )

    class PageRoute(APIRoute):
        """A route whose errors are pages for whoever reads pages, and JSON for a page's script."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handle(request)
                except MustSignIn as error:
                    if navigates(request):
                        return sign_in.begin(request, more=isinstance(error, MustAskForMore))
                    return _error(request, error)
                except AgentsError as error:
                    return _error(request, error)

            return answer

    def _error(request: Request, error: AgentsError) -> Response:
        status, body = errors.encode(error)
        if not navigates(request):
            return JSONResponse(body, status)
        return pages.answer(request, "error.html", status, code=status, message=error.message, reader=None)

    async def known(request: Request) -> Reader:
        return await sign_in.reader(request, request.app.state.identities)

    async def admin(request: Request) -> Reader:
        reader = await known(request)
        if not reader.person.admin:
            raise NotAllowed(f"This page is for administrators of the hub. Ask {budgets.contact}.")
        return reader

    Known = Annotated[Reader, Depends(known)]
    Admin = Annotated[Reader, Depends(admin)]

    router = APIRouter(route_class=PageRoute, include_in_schema=False)

    @router.get("/")
    async def my_page(request: Request, reader: Known, days: Days = 30) -> Response:
        shown = await figures.mine(budgets, reader.person, days)
        return pages.answer(request, "mine.html", reader=reader, m=shown, spans=figures.SPANS)

    @router.get("/admin")
    async def admin_page(request: Request, reader: Admin, days: Days = 30) -> Response:
        sign_in.check_asked(request, reader)
        shown = await figures.everything(budgets, request.app.state.hub, everybody, days, slow)
        return pages.answer(request, "admin.html", reader=reader, a=shown, spans=figures.SPANS)

    @router.get("/admin/calls.csv")
    async def export(_: Admin, since: date | None = None, until: date | None = None) -> StreamingResponse:
        which = views.calls_within(budgets, since, until)
        headers = {"Content-Disposition": 'attachment; filename="calls.csv"', "Cache-Control": "no-store"}
        return StreamingResponse(
            csv_lines(budgets.ledger.export(which)), media_type="text/csv; charset=utf-8", headers=headers
        )

    @router.get("/admin/agents.csv")
    async def export_agents(_: Admin, since: date | None = None, until: date | None = None) -> Response:
        found = await views.by_agent(budgets, views.calls_within(budgets, since, until))
        headers = {"Content-Disposition": 'attachment; filename="agents.csv"', "Cache-Control": "no-store"}
        return Response(agents_csv(found), media_type="text/csv; charset=utf-8", headers=headers)

    @router.post("/admin/runs/{owner}/{run_id}/cancel")
    async def cancel_run(request: Request, reader: Admin, owner: Owner, run_id: RunId) -> dict[str, str]:
        state = request.app.state
        return {"status": await cancel(reader, state.workspaces, state.passage, owner, run_id)}

    @router.post("/admin/budget")
    async def set_budget(reader: Admin, edit: BudgetEdit) -> BudgetState:
        if edit.kind is Kind.HUB and edit.name != HUB:
            raise InvalidInput(f"The hub has one budget, named {HUB!r}, and none named {edit.name!r}.")
        budget = None if edit.default else BudgetBody(day_usd=edit.day_usd, month_usd=edit.month_usd).budget
        await budgets.set_budget(edit.kind, edit.name, budget, reader.person.name)
        return (await views.states(budgets, [(edit.kind, edit.name)]))[0]

    @router.get("/oauth_callback")
    async def come_back(request: Request) -> Response:
        return await sign_in.finish(request, request.app.state.hub)

    @router.get("/language")
    async def choose_language(to: str, back: str = "") -> Response:
        if to not in LANGUAGES:
            raise InvalidInput(f"to is {to[:20]!r}: there are {', '.join(LANGUAGES)}.")
        answer = RedirectResponse(f"{service.prefix}{'admin' if back == 'admin' else ''}", 302)
        answer.set_cookie(LANGUAGE_COOKIE, to, max_age=YEAR_S, path=service.prefix, httponly=True, samesite="lax")
        return answer

    app.include_router(router, prefix=prefix)
    app.mount(f"{prefix}/static", Kept())
    app.state.activity = Activity(budgets, everybody)
    app.state.slow_figures = slow
    app.state.everybody = everybody


class Kept(StaticFiles):
    """The pages' files under a folder named by their version, which browsers keep for good."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    def get_path(self, scope: Any) -> str:
        return super().get_path(scope).partition("/")[2]

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer
