"""Where a site meters nothing (`Gateway.metering = "unlimited"`): what the hub's Services menu leads to then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from ...errors import InvalidInput
from .render import LANGUAGE_COOKIE, Pages
from .routes import YEAR_S, Kept
from .words import LANGUAGES

if TYPE_CHECKING:
    from ..app import AgentsService


def add_notice(app: FastAPI, service: AgentsService) -> None:
    """One page at the addresses of both, which says that there are no figures. It tells nothing of anybody, so nobody
    has to sign in."""
    prefix = service.prefix.rstrip("/")
    pages = Pages(prefix=service.prefix, hub_url=service.hub_url, time_zone="UTC", refresh_s=service.refresh_s)
    router = APIRouter(include_in_schema=False)

    @router.get("/admin")
    @router.get("/")
    async def notice(request: Request) -> Response:
        return pages.answer(request, "unmetered.html", reader=None)

    @router.get("/language")
    async def choose_language(to: str) -> Response:
        if to not in LANGUAGES:
            raise InvalidInput(f"to is {to[:20]!r}: there are {', '.join(LANGUAGES)}.")
        answer = RedirectResponse(service.prefix, 302)
        answer.set_cookie(LANGUAGE_COOKIE, to, max_age=YEAR_S, path=service.prefix, httponly=True, samesite="lax")
        return answer

    app.include_router(router, prefix=prefix)
    app.mount(f"{prefix}/static", Kept())
