"""The service's web application: what it is made of, its errors, its documentation."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_swagger import patch_fastapi
from starlette.exceptions import HTTPException

from .. import errors
from .._version import __version__
from ..models import ShareKind
from . import health, keys_api
from .asked_by import person
from .budgets.api import budgets_router
from .front_door import api as front_door_api
from .front_door.asgi import FrontDoorApp
from .front_door.passage import Passage
from .front_door.stored import StoredAnswers
from .front_door.workspaces import Workspaces
from .gateway.asgi import CutOff, GatewayApp
from .gateway.client import make_client
from .hub import HubAPI
from .identity import Identities
from .pages.routes import add_pages
from .pages.unmetered import add_notice
from .run_keys import RunKeys
from .store_api import store_router

if TYPE_CHECKING:
    from .app import AgentsService

DESCRIPTION = """The service of a JupyterHub whose people work with coding agents. Every request but those for health
and this page carries a JupyterHub token with the scope `access:services!service=agents`, as
`Authorization: Bearer TOKEN`. Claude's Messages API is at `anthropic/`, as Anthropic documents it.
A workspace's own agents API is at `workspace/NAME/api/...`, as its own document (`api/agents-openapi.json` there) says;
that takes the scope `access:servers!user=NAME`. A workspace that sleeps is started for what changes something, and read
from the store."""

App = TypeVar("App", GatewayApp, FrontDoorApp)

CODES = {404: "not_found", 405: "method_not_allowed"}


class QuietWhenCut(logging.Filter):
    """uvicorn logs what an application raises, with its traceback. CutOff is how the gateway has a connection cut, and
    a cancelled one was open for too long when the service stopped: both are logged in lines of their own. Of a
    WebSocket that is refused with an answer, it says besides that there was none (uvicorn 0.54, Kludex/uvicorn#3138).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info:
            return not isinstance(record.exc_info[1], CutOff | asyncio.CancelledError)
        return record.msg != "ASGI callable returned without completing handshake."


def build(service: AgentsService) -> FastAPI:
    """The application. It opens what it needs when it starts, and closes it when it stops."""
    prefix = service.prefix.rstrip("/")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            gateway = service.gateway
            hub = HubAPI(service.hub_api_url, service.hub_api_token, timeout_s=service.hub_timeout_s)
            stack.push_async_callback(hub.close)
            keys = RunKeys(service.run_key_secret_bytes)
            identities = Identities(hub, keys, service=service.service_name, cache_s=service.identity_cache_s)
            stack.push_async_callback(identities.close)
            meter = gateway.choose_meter(service.budgets)
            await meter.open()
            stack.push_async_callback(meter.close)
            await service.store.open()
            stack.push_async_callback(service.store.close)
            client = make_client(gateway.connect_timeout_s, gateway.proxy)
            stack.push_async_callback(client.close)
            upstream = gateway.make_upstream()
            passing.target = GatewayApp(
                identities=identities, meter=meter, upstream=upstream, client=client,
                body_limit=gateway.body_limit_mb * 1_000_000,
            )  # fmt: skip
            stack.push_async_callback(passing.target.close)
            door = service.front_door
            workspaces = Workspaces(hub, start_timeout_s=door.start_timeout_s)
            passage = Passage(door.hub_url, answer_timeout_s=door.answer_timeout_s)
            stack.push_async_callback(passage.close)
            entrance.target = FrontDoorApp(
                identities=identities, workspaces=workspaces, passage=passage, stored=StoredAnswers(service.store),
                patience_s=door.patience_s, body_limit=door.body_limit_mb * 1024 * 1024,
            )  # fmt: skip
            for name in ("slow_figures", "everybody"):
                if kept := getattr(app.state, name, None):
                    stack.push_async_callback(kept.close)
            app.state.service = service
            app.state.hub = hub
            app.state.workspaces = workspaces
            app.state.passage = passage
            app.state.identities = identities
            app.state.keys = keys
            app.state.meter = meter
            app.state.checks = {
                "hub": health.told(hub.check),
                "upstream": upstream.trouble,
                "ledger": meter.trouble,
                "store": health.told(service.store.check),
            }
            # What was imported stays: looking through it for garbage would hold calls up for tens of milliseconds.
            gc.collect()
            gc.freeze()
            yield

    app = _ServiceApp(
        title="jupyterhub-agents",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.passing_path = f"{prefix}/anthropic"
    app.passing = passing = _Late[GatewayApp]()
    entrance: _Late[FrontDoorApp] = _Late()
    app.include_router(health.router, prefix=prefix)
    app.include_router(keys_api.router, prefix=f"{prefix}/api")
    if service.gateway.metering == "budgets":
        app.include_router(budgets_router(service.budgets, person), prefix=prefix)
        add_pages(app, service, service.budgets)
    else:
        add_notice(app, service)

    async def is_known(kind: ShareKind, name: str) -> bool:
        hub: HubAPI = app.state.hub
        return await (hub.account(name) if kind is ShareKind.PERSON else hub.group(name)) is not None

    stored = store_router(service.store, lambda request: person(request, None), is_known)
    app.include_router(stored, prefix=prefix)
    app.include_router(front_door_api.router, prefix=prefix)
    app.mount(f"{prefix}/workspace", entrance)
    # Served from the package: no other host is asked for anything.
    patch_fastapi(
        app,
        docs_url=f"{prefix}/docs",
        redirect_from_root_to_docs=False,
        swagger_js_url=f"{prefix}/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{prefix}/docs/swagger-ui.css",
        swagger_favicon_url=f"{prefix}/docs/favicon.png",
    )
    _tell_errors(app)
    logging.getLogger("uvicorn.error").addFilter(QuietWhenCut())
    return app


class _Late(Generic[App]):
    """An ASGI application that is there when the service has started."""

    target: App

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.target(scope, receive, send)


class _ServiceApp(FastAPI):
    """All that the service serves. Calls to Claude come past FastAPI, which has nothing to do for them and takes its
    time for it."""

    passing_path: str
    passing: _Late[GatewayApp]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(f"{self.passing_path}/"):
            await self.passing(scope | {"root_path": self.passing_path}, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _tell_errors(app: FastAPI) -> None:
    """Every error in the project's own shape."""

    def handle(kind: type[Exception]) -> Callable[[Any], Any]:
        return app.exception_handler(kind)

    @handle(errors.AgentsError)
    async def agents_error(_: Request, error: errors.AgentsError) -> JSONResponse:
        status, body = errors.encode(error)
        return JSONResponse(body, status)

    @handle(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        found = [f"{'.'.join(map(str, each['loc'][1:])) or 'the request'}: {each['msg']}" for each in error.errors()]
        return JSONResponse(errors.body(400, "invalid_input", "; ".join(found[:10])), 400)

    @handle(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        message = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not possible here."}
        code = CODES.get(error.status_code, "http_error")
        body = errors.body(error.status_code, code, message.get(error.status_code, str(error.detail)))
        return JSONResponse(body, error.status_code, headers=error.headers)

    @handle(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:
        body = errors.body(
            500, "internal_error", "It failed for a reason of the service's own; its log has the details."
        )
        return JSONResponse(body, 500)
