"""The store over HTTP, for workspaces: every call of `AgentStore`, each person's own things only.

`store_router(store, authenticate)` gives the routes for the service's app, `store_app` an app of its own. The first
segment of a path names whose things are meant, and must be the person that `authenticate` found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import Field, JsonValue
from starlette.responses import Response

from ..errors import AgentsError, InvalidInput, NotAllowed, NotFound
from ..models import (
    Agent,
    AgentSpec,
    Approval,
    ApprovalDecision,
    Event,
    Model,
    Page,
    Run,
    RunChanges,
    RunStatus,
    Share,
    SharedAgent,
    ShareKind,
    ShareName,
    ShareRequest,
    TranscriptKey,
)
from ..store import AgentStore
from ..store.paging import check_after, check_limit
from ..store.rules import check_share
from .bodies import BoundedRequest, error_answer, invalid, lines, one
from .identity import Person

Authenticate = Callable[[Request], Awaitable[Person]]
"""Who makes a request. Raises the error that the caller is answered with."""
IsKnown = Callable[[ShareKind, str], Awaitable[bool]]
"""Whether the hub has a person or a group of that name. Raises HubUnavailable."""


class NewAgent(Model):
    id: str = Field(max_length=2_000)
    spec: AgentSpec


class NextRevision(Model):
    """A change of an agent, and the revision it was made from."""

    revision: int
    spec: AgentSpec


class ImportedRevision(Model):
    agent: Agent
    deleted: bool = False


class NewShare(ShareRequest):
    kind: ShareKind
    name: ShareName


class WhichShare(Model):
    kind: ShareKind
    name: ShareName


class NewEvents(Model):
    events: list[Event]
    changes: RunChanges | None = None


class DecisionBy(ApprovalDecision):
    """A decision, and who made it: a name for people, such as that of the person or of who acts for them."""

    by: str = Field(min_length=1, max_length=255)


class NewEntries(TranscriptKey):
    entries: list[dict[str, JsonValue]]


async def everyone(kind: ShareKind, name: str) -> bool:
    """For a store without a hub that could be asked."""
    return True


def store_app(store: AgentStore, authenticate: Authenticate, is_known: IsKnown = everyone) -> FastAPI:
    """An app with nothing but the store's routes. `store` is open, and closed by the caller."""
    app = FastAPI(title="Store of agents and runs")
    app.include_router(store_router(store, authenticate, is_known))
    return app


def store_router(store: AgentStore, authenticate: Authenticate, is_known: IsKnown = everyone) -> APIRouter:
    """The routes, under `/store`."""

    class Route(APIRoute):
        """Asks who it is before it reads what they send, and answers errors in the project's shape."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()
            known = _parameters(self)

            async def guarded(request: Request) -> Response:
                try:
                    request.state.person = person = await authenticate(request)
                    _check_may(person, request.path_params.get("owner"))
                    if unknown := sorted(set(request.query_params) - known):
                        raise InvalidInput(f"There is no parameter {unknown[0][:100]!r} here: leave it out.")
                    bounded = BoundedRequest(request.scope, request.receive)
                    # Here, because FastAPI has one answer for whatever goes wrong where it reads the body.
                    await bounded.body()
                    return await handle(bounded)
                except HTTPException as error:
                    return error_answer(InvalidInput(f"The request cannot be read: {error.detail}."))
                except RequestValidationError as error:
                    return error_answer(invalid(error))
                except AgentsError as error:
                    return error_answer(error)

            return guarded

    router = APIRouter(
        prefix="/store",
        route_class=Route,
        tags=["store"],
        dependencies=[Depends(HTTPBearer(auto_error=False, description="A token of JupyterHub's."))],
    )
    _add_agents(router, store)
    _add_shares(router, store, is_known)
    _add_runs(router, store)
    _add_approvals(router, store)
    _add_transcripts(router, store)

    @router.get("/health")
    async def check() -> dict[str, str]:
        """Whether the store can be read and written now."""
        await store.check()
        return {"status": "ok"}

    @router.get("/owners")
    async def owners(request: Request) -> list[str]:
        """Everyone who has something here. Who is no admin sees themselves only."""
        person = _asking(request)
        found = await store.owners()
        return found if person.admin else [name for name in found if name == person.name]

    return router


def _parameters(route: APIRoute) -> set[str]:
    """The names of a route's parameters in the query; those of a model stand for it."""
    fields = route.dependant.query_params
    models = [field.field_info.annotation for field in fields]
    within = {
        name for model in models if isinstance(model, type) and issubclass(model, Model) for name in model.model_fields
    }
    return {field.alias for field in fields} | within


def _check_may(person: Person, owner: str | None) -> None:
    """Raises NotAllowed."""
    if person.kind == "run":
        raise NotAllowed("A run's key opens the gateway only, not the store.")
    if owner is not None and owner != person.name:
        raise NotAllowed(
            f"You are {person.name}, and these are another person's things. Use your own name in the path."
        )


def _asking(request: Request) -> Person:
    """Who asks, as the hub knows them."""
    person: Person = request.state.person
    return person


def _check_same(owner: str, named: str) -> None:
    """Raises InvalidInput."""
    if owner != named:
        raise InvalidInput(f"owner is {named[:100]!r} in the body, but {owner!r} in the path: send the same.")


Limit = Annotated[int, Query(description="At most so many.")]
Cursor = Annotated[str | None, Query(description="The `next` of the page before.")]


Key = Annotated[TranscriptKey, Query()]


async def _pages(
    request: Request, call: Callable[..., Awaitable[Page[Any]]], name: str, start: str | None, limit: int
) -> Response:
    async def fetch(cursor: str | None, size: int) -> tuple[Sequence[Any], str | None]:
        page = await call(**{name: cursor, "limit": size})
        return page.items, page.next

    return await lines(request, fetch, start, check_limit(limit))


def _add_agents(router: APIRouter, store: AgentStore) -> None:
    @router.get("/{owner}/agents")
    async def list_agents(
        request: Request, owner: str, deleted: bool = False, limit: Limit = 100, after: Cursor = None
    ) -> Response:
        """Agents by id, as lines."""

        async def call(**page: Any) -> Page[Agent]:
            return await store.list_agents(owner, deleted=deleted, **page)

        return await _pages(request, call, "after", after, limit)

    @router.post("/{owner}/agents", status_code=201, response_model=Agent)
    async def create_agent(request: Request, owner: str, body: NewAgent) -> Response:
        return await one(request, await store.create_agent(owner, body.id, body.spec), 201)

    @router.get("/{owner}/agents/{agent_id}", response_model=Agent)
    async def get_agent(request: Request, owner: str, agent_id: str, revision: int | None = None) -> Response:
        return await one(request, await store.get_agent(owner, agent_id, revision))

    @router.put("/{owner}/agents/{agent_id}", response_model=Agent)
    async def update_agent(request: Request, owner: str, agent_id: str, body: NextRevision) -> Response:
        return await one(request, await store.update_agent(owner, agent_id, body.spec, revision=body.revision))

    @router.delete("/{owner}/agents/{agent_id}", status_code=204)
    async def delete_agent(owner: str, agent_id: str, revision: int) -> None:
        await store.delete_agent(owner, agent_id, revision=revision)

    @router.get("/{owner}/agents/{agent_id}/revisions")
    async def list_revisions(
        request: Request, owner: str, agent_id: str, limit: Limit = 100, before: Cursor = None
    ) -> Response:
        """Revisions, newest first, as lines."""

        async def call(**page: Any) -> Page[Agent]:
            return await store.list_revisions(owner, agent_id, **page)

        return await _pages(request, call, "before", before, limit)

    @router.post("/{owner}/imported-revisions", status_code=204)
    async def import_revision(owner: str, body: ImportedRevision) -> None:
        _check_same(owner, body.agent.owner)
        await store.import_revision(body.agent, deleted=body.deleted)


def _add_shares(router: APIRouter, store: AgentStore, is_known: IsKnown) -> None:
    @router.get("/{owner}/agents/{agent_id}/shares")
    async def list_shares(
        request: Request, owner: str, agent_id: str, limit: Limit = 100, after: Cursor = None
    ) -> Response:
        """With whom an agent is shared, by kind and name, as lines."""

        async def call(**page: Any) -> Page[Share]:
            return await store.list_shares(owner, agent_id, **page)

        return await _pages(request, call, "after", after, limit)

    @router.put("/{owner}/agents/{agent_id}/shares", response_model=Share)
    async def share_agent(request: Request, owner: str, agent_id: str, body: NewShare) -> Response:
        """Share an agent with a person or group that the hub knows, or change what they may do."""
        check_share(owner, body.kind, body.name)
        await store.get_agent(owner, agent_id)
        if not await is_known(body.kind, body.name):
            raise NotFound(
                f"This hub has no {body.kind.value} {body.name[:100]!r}. Look at how the name is written; people are "
                "known to the hub once they have signed in, or an administrator has added them."
            )
        return await one(request, await store.share_agent(owner, agent_id, body.kind, body.name, body.access))

    @router.delete("/{owner}/agents/{agent_id}/shares", status_code=204)
    async def unshare_agent(owner: str, agent_id: str, which: Annotated[WhichShare, Query()]) -> None:
        await store.unshare_agent(owner, agent_id, which.kind, which.name)

    @router.post("/{owner}/imported-shares", status_code=204)
    async def import_share(owner: str, body: Share) -> None:
        _check_same(owner, body.owner)
        await store.import_share(body)

    @router.get("/{owner}/shared")
    async def list_shared(request: Request, owner: str, limit: Limit = 100, after: Cursor = None) -> Response:
        """What others share with the caller, or with a group that the hub has them in, by owner and id, as lines."""
        groups = _asking(request).groups

        async def call(**page: Any) -> Page[SharedAgent]:
            return await store.list_shared(owner, groups, **page)

        return await _pages(request, call, "after", after, limit)

    @router.get("/{owner}/shared-agent", response_model=SharedAgent)
    async def get_shared_agent(request: Request, owner: str, of: str, id: str, revision: int | None = None) -> Response:
        """An agent of `of` that is shared with the caller, as it is now or was in a revision since it is shared."""
        return await one(request, await store.get_shared_agent(owner, _asking(request).groups, of, id, revision))


def _add_runs(router: APIRouter, store: AgentStore) -> None:
    @router.get("/{owner}/runs")
    async def list_runs(
        request: Request,
        owner: str,
        agent_id: str | None = None,
        agent_owner: str | None = None,
        conversation_id: str | None = None,
        status: Annotated[list[RunStatus] | None, Query()] = None,
        limit: Limit = 50,
        before: Cursor = None,
    ) -> Response:
        """Runs, newest first, as lines."""

        async def call(**page: Any) -> Page[Run]:
            return await store.list_runs(
                owner, agent_id=agent_id, agent_owner=agent_owner, conversation_id=conversation_id, statuses=status,
                **page,
            )  # fmt: skip

        return await _pages(request, call, "before", before, limit)

    @router.post("/{owner}/runs", status_code=204)
    async def create_run(owner: str, body: Run) -> None:
        _check_same(owner, body.owner)
        await store.create_run(body)

    @router.get("/{owner}/runs/{run_id}", response_model=Run)
    async def get_run(request: Request, owner: str, run_id: str) -> Response:
        return await one(request, await store.get_run(owner, run_id))

    @router.post("/{owner}/runs/{run_id}/events", status_code=204)
    async def append_events(owner: str, run_id: str, body: NewEvents) -> None:
        await store.append_events(owner, run_id, body.events, body.changes)

    @router.get("/{owner}/runs/{run_id}/events")
    async def list_events(request: Request, owner: str, run_id: str, after: int = 0, limit: Limit = 500) -> Response:
        """Events after a number, in order, as lines."""

        async def fetch(seq: int, size: int) -> tuple[Sequence[Event], int | None]:
            events = await store.list_events(owner, run_id, after=seq, limit=size)
            return events, events[-1].seq if len(events) == size else None

        return await lines(request, fetch, check_after(after), check_limit(limit))

    @router.post("/{owner}/runs/{run_id}/closed-approvals")
    async def close_approvals(owner: str, run_id: str, approval_id: str | None = None) -> dict[str, int]:
        return {"closed": await store.close_approvals(owner, run_id, approval_id)}


def _add_approvals(router: APIRouter, store: AgentStore) -> None:
    @router.get("/{owner}/approvals")
    async def list_approvals(
        request: Request,
        owner: str,
        run_id: str | None = None,
        waiting: bool | None = None,
        limit: Limit = 50,
        before: Cursor = None,
    ) -> Response:
        """Approvals, newest first, as lines."""

        async def call(**page: Any) -> Page[Approval]:
            return await store.list_approvals(owner, run_id=run_id, waiting=waiting, **page)

        return await _pages(request, call, "before", before, limit)

    @router.post("/{owner}/approvals", status_code=204)
    async def create_approval(owner: str, body: Approval) -> None:
        _check_same(owner, body.owner)
        await store.create_approval(body)

    @router.post("/{owner}/imported-approvals", status_code=204)
    async def import_approval(owner: str, body: Approval) -> None:
        _check_same(owner, body.owner)
        await store.import_approval(body)

    @router.get("/{owner}/approvals/{approval_id}", response_model=Approval)
    async def get_approval(request: Request, owner: str, approval_id: str) -> Response:
        return await one(request, await store.get_approval(owner, approval_id))

    @router.post("/{owner}/approvals/{approval_id}/decision", response_model=Approval)
    async def decide_approval(request: Request, owner: str, approval_id: str, body: DecisionBy) -> Response:
        decided = await store.decide_approval(owner, approval_id, body.decision, message=body.message, by=body.by)
        return await one(request, decided)

    @router.post("/{owner}/approvals/{approval_id}/delivery", response_model=Approval)
    async def deliver_approval(request: Request, owner: str, approval_id: str) -> Response:
        return await one(request, await store.deliver_approval(owner, approval_id))


def _add_transcripts(router: APIRouter, store: AgentStore) -> None:
    @router.get("/{owner}/transcripts")
    async def list_transcripts(owner: str, project_key: str) -> list[tuple[str, int]]:
        """`[session_id, mtime]` of each session of a project, mtime in milliseconds since 1970."""
        return await store.list_transcripts(owner, project_key)

    @router.get("/{owner}/transcripts/keys")
    async def list_transcript_keys(owner: str) -> list[TranscriptKey]:
        return await store.list_transcript_keys(owner)

    @router.get("/{owner}/transcripts/subpaths")
    async def list_transcript_subpaths(owner: str, project_key: str, session_id: str) -> list[str]:
        return await store.list_transcript_subpaths(owner, project_key, session_id)

    @router.get("/{owner}/transcripts/entries")
    async def load_transcript(request: Request, owner: str, key: Key) -> Response:
        """All entries in order, as lines; 204 when there is no such transcript."""
        entries = await store.load_transcript(owner, key)
        if entries is None:
            return Response(status_code=204)

        async def fetch(at: int, size: int) -> tuple[Sequence[Any], int | None]:
            end = at + size
            return entries[at:end], end if end < len(entries) else None

        return await lines(request, fetch, 0, len(entries))

    @router.post("/{owner}/transcripts/entries", status_code=204)
    async def append_transcript(owner: str, body: NewEntries) -> None:
        key = TranscriptKey(project_key=body.project_key, session_id=body.session_id, subpath=body.subpath)
        await store.append_transcript(owner, key, body.entries)

    @router.delete("/{owner}/transcripts/entries", status_code=204)
    async def delete_transcript(owner: str, key: Key) -> None:
        await store.delete_transcript(owner, key)
