"""Whether the service lives, whether it can do its work, and its metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from ..errors import AgentsError, NotAllowed, StoreUnavailable
from .asked_by import AsPerson, person

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: str = "ok"


class Ready(BaseModel):
    ready: bool
    trouble: dict[str, str]
    """What is not ready, each with the reason in a sentence."""


def told(check: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[str]]:
    """A check that raises, as one that tells."""

    async def tell() -> str:
        try:
            await check()
        except AgentsError as error:
            return error.message
        return ""

    return tell


@router.get("/health")
async def health() -> Alive:
    """Whether the service answers. A process that does not is to be restarted."""
    return Alive()


@router.get("/health/ready", responses={503: {"model": Ready, "description": "Something is not ready."}})
async def ready(request: Request) -> Ready:
    """Whether calls can be taken: the hub answers, the upstream is set up, the ledger can be written."""
    trouble = {name: said for name, check in request.app.state.checks.items() if (said := await check())}
    answer = Ready(ready=not trouble, trouble=trouble)
    return answer if not trouble else JSONResponse(answer.model_dump(), 503)  # type: ignore[return-value]  # FastAPI's way


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """The service's metrics, for Prometheus. Takes the scope `read:metrics`, or an admin's token, unless the site has
    set AgentsService.authenticate_metrics to false."""
    if request.app.state.service.authenticate_metrics:
        who: AsPerson = await person(request, None)
        if not (who.admin or "read:metrics" in who.scopes):
            raise NotAllowed("Metrics take a token with the scope read:metrics.")
    if activity := getattr(request.app.state, "activity", None):
        with suppress(StoreUnavailable):
            await activity.update()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
