"""`RemoteStore`: the store behind the hub's service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from ...errors import AlreadyExists, InvalidInput, NotFound
from ...models import (
    Agent,
    AgentSpec,
    Approval,
    Decision,
    Event,
    Model,
    Page,
    Run,
    RunChanges,
    RunStatus,
    Share,
    ShareAccess,
    SharedAgent,
    ShareKind,
    TranscriptKey,
)
from .. import paging, rules
from ..base import AgentStore
from .transport import Token, Transport, read_lines

M = TypeVar("M", bound=Model)


class RemoteStore(AgentStore):
    """Agents, runs, events, approvals and transcripts in the store of the hub's service at `url`.

    `token` gives a token of JupyterHub's for the owner it is asked for; the service lets each person at their own
    things only. Calls that may be made twice are repeated for `timeout` seconds while the service is away. The others
    (agents; deciding, delivering and closing approvals) raise StoreUnavailable at once when their answer is lost: it is
    then not known whether they were carried out.
    """

    def __init__(self, url: str, token: Token, *, timeout: float = 10.0) -> None:
        self._http = Transport(url, token, timeout)

    async def open(self) -> None:
        await self._http.open()

    async def close(self) -> None:
        await self._http.close()

    # Agents and their revisions

    async def create_agent(self, owner: str, agent_id: str, spec: AgentSpec) -> Agent:
        if not rules.is_agent_id(agent_id):
            raise InvalidInput(f"id is {agent_id[:100]!r}: give 1 to 64 of a-z, 0-9 and '-', not at an end.")
        body = {"id": agent_id, "spec": spec}
        answer = await self._http.call("POST", owner, "agents", body=body, again=False)
        return Agent.model_validate_json(answer.content)

    async def get_agent(self, owner: str, agent_id: str, revision: int | None = None) -> Agent:
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_agent(agent_id)
        answer = await self._http.call("GET", owner, "agents", agent_id, params={"revision": revision})
        return Agent.model_validate_json(answer.content)

    async def list_agents(
        self, owner: str, *, deleted: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        params = {"deleted": deleted, "limit": limit, "after": after}
        return await self._page(Agent, owner, "agents", params=params)

    async def update_agent(self, owner: str, agent_id: str, spec: AgentSpec, *, revision: int) -> Agent:
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_agent(agent_id)
        body = {"revision": revision, "spec": spec}
        answer = await self._http.call("PUT", owner, "agents", agent_id, body=body, again=False)
        return Agent.model_validate_json(answer.content)

    async def delete_agent(self, owner: str, agent_id: str, *, revision: int) -> None:
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_agent(agent_id)
        await self._http.call("DELETE", owner, "agents", agent_id, params={"revision": revision}, again=False)

    async def list_revisions(
        self, owner: str, agent_id: str, *, limit: int = 100, before: str | None = None
    ) -> Page[Agent]:
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_agent(agent_id)
        params = {"limit": limit, "before": before}
        return await self._page(Agent, owner, "agents", agent_id, "revisions", params=params)

    async def import_revision(self, agent: Agent, *, deleted: bool = False) -> None:
        body = {"agent": agent, "deleted": deleted}
        await self._http.call("POST", agent.owner, "imported-revisions", body=body)

    # Shares

    async def share_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str, access: ShareAccess) -> Share:
        rules.check_share(owner, kind, name)
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_agent(agent_id)
        body = {"kind": kind, "name": name, "access": access}
        answer = await self._http.call("PUT", owner, "agents", agent_id, "shares", body=body)
        return Share.model_validate_json(answer.content)

    async def unshare_agent(self, owner: str, agent_id: str, kind: ShareKind, name: str) -> None:
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_share(agent_id, kind, name)
        params = {"kind": kind, "name": name}
        await self._http.call("DELETE", owner, "agents", agent_id, "shares", params=params, again=False)

    async def list_shares(
        self, owner: str, agent_id: str, *, limit: int = 100, after: str | None = None
    ) -> Page[Share]:
        if not rules.is_agent_id(agent_id):
            raise rules.unknown_agent(agent_id)
        params = {"limit": limit, "after": after}
        return await self._page(Share, owner, "agents", agent_id, "shares", params=params)

    async def import_share(self, share: Share) -> None:
        rules.check_share_name(share.kind, share.name)
        await self._http.call("POST", share.owner, "imported-shares", body=share)

    async def list_shared(
        self, person: str, groups: Collection[str], *, limit: int = 100, after: str | None = None
    ) -> Page[SharedAgent]:
        # Which groups count is not for a workspace to say: the service has them from the hub.
        return await self._page(SharedAgent, person, "shared", params={"limit": limit, "after": after})

    async def get_shared_agent(
        self, person: str, groups: Collection[str], owner: str, agent_id: str, revision: int | None = None
    ) -> SharedAgent:
        if not rules.is_agent_id(agent_id):
            raise rules.not_shared(owner, agent_id)
        params = {"of": owner, "id": agent_id, "revision": revision}
        answer = await self._http.call("GET", person, "shared-agent", params=params)
        return SharedAgent.model_validate_json(answer.content)

    # Runs

    async def create_run(self, run: Run) -> None:
        if run.last_seq:
            raise InvalidInput(f"A new run has no events, but last_seq is {run.last_seq}: append them afterwards.")
        stored = rules.in_utc(run)
        await self._created(run.owner, "runs", run, lambda: self.get_run(run.owner, run.id), stored)

    async def get_run(self, owner: str, run_id: str) -> Run:
        _check_run_id(run_id)
        answer = await self._http.call("GET", owner, "runs", run_id)
        return Run.model_validate_json(answer.content)

    async def list_runs(
        self,
        owner: str,
        *,
        agent_id: str | None = None,
        agent_owner: str | None = None,
        conversation_id: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Run]:
        if statuses is not None and not statuses:
            paging.check_limit(limit)
            paging.parse_time_cursor(before)
            return Page[Run](items=[])
        params = {
            "agent_id": agent_id, "agent_owner": agent_owner, "conversation_id": conversation_id, "limit": limit,
            "before": before,
            "status": None if statuses is None else sorted(statuses),
        }  # fmt: skip
        return await self._page(Run, owner, "runs", params=params)

    # Events

    async def append_events(
        self, owner: str, run_id: str, events: Sequence[Event], changes: RunChanges | None = None
    ) -> None:
        rules.event_rows(run_id, events)
        if changes is not None:
            rules.check_changes(changes)
        _check_run_id(run_id)
        body = {"events": events, "changes": changes and changes.model_dump(exclude_unset=True)}
        await self._http.call("POST", owner, "runs", run_id, "events", body=body)

    async def list_events(self, owner: str, run_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
        _check_run_id(run_id)
        params = {"after": paging.check_after(after), "limit": paging.check_limit(limit)}
        answer = await self._http.call("GET", owner, "runs", run_id, "events", params=params)
        items, _ = await read_lines(answer)
        return [Event(**item) for item in items]

    # Approvals

    async def create_approval(self, approval: Approval) -> None:
        stored = rules.in_utc(approval)
        await self._created(
            approval.owner, "approvals", approval, lambda: self.get_approval(approval.owner, approval.id), stored
        )

    async def import_approval(self, approval: Approval) -> None:
        await self._http.call("POST", approval.owner, "imported-approvals", body=approval)

    async def get_approval(self, owner: str, approval_id: str) -> Approval:
        _check_approval_id(approval_id)
        answer = await self._http.call("GET", owner, "approvals", approval_id)
        return Approval.model_validate_json(answer.content)

    async def list_approvals(
        self,
        owner: str,
        *,
        run_id: str | None = None,
        waiting: bool | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Page[Approval]:
        params = {"run_id": run_id, "waiting": waiting, "limit": limit, "before": before}
        return await self._page(Approval, owner, "approvals", params=params)

    async def decide_approval(
        self, owner: str, approval_id: str, decision: Decision, *, message: str | None = None, by: str
    ) -> Approval:
        _check_approval_id(approval_id)
        body = {"decision": decision, "message": message, "by": by}
        answer = await self._http.call("POST", owner, "approvals", approval_id, "decision", body=body, again=False)
        return Approval.model_validate_json(answer.content)

    async def deliver_approval(self, owner: str, approval_id: str) -> Approval:
        _check_approval_id(approval_id)
        answer = await self._http.call("POST", owner, "approvals", approval_id, "delivery", again=False)
        return Approval.model_validate_json(answer.content)

    async def close_approvals(self, owner: str, run_id: str, approval_id: str | None = None) -> int:
        if not rules.is_run_id(run_id):
            return 0
        params = {"approval_id": approval_id}
        answer = await self._http.call("POST", owner, "runs", run_id, "closed-approvals", params=params, again=False)
        return int(answer.json()["closed"])

    # Transcripts

    async def append_transcript(self, owner: str, key: TranscriptKey, entries: Sequence[dict[str, Any]]) -> None:
        rows = rules.entry_rows(entries)
        if rows:
            body = {**key.model_dump(), "entries": entries}
            # Entries without a uuid would be stored twice.
            again = all(uuid is not None for uuid, _ in rows)
            await self._http.call("POST", owner, "transcripts", "entries", body=body, again=again)

    async def load_transcript(self, owner: str, key: TranscriptKey) -> list[dict[str, Any]] | None:
        answer = await self._http.call("GET", owner, "transcripts", "entries", params=key.model_dump())
        if answer.status_code == 204:
            return None
        return (await read_lines(answer))[0]

    async def list_transcripts(self, owner: str, project_key: str) -> list[tuple[str, int]]:
        answer = await self._http.call("GET", owner, "transcripts", params={"project_key": project_key})
        return [(session_id, mtime) for session_id, mtime in answer.json()]

    async def list_transcript_subpaths(self, owner: str, project_key: str, session_id: str) -> list[str]:
        params = {"project_key": project_key, "session_id": session_id}
        answer = await self._http.call("GET", owner, "transcripts", "subpaths", params=params)
        return list(answer.json())

    async def list_transcript_keys(self, owner: str) -> list[TranscriptKey]:
        answer = await self._http.call("GET", owner, "transcripts", "keys")
        return [TranscriptKey(**key) for key in answer.json()]

    async def delete_transcript(self, owner: str, key: TranscriptKey) -> None:
        await self._http.call("DELETE", owner, "transcripts", "entries", params=key.model_dump())

    # The store itself

    async def check(self) -> None:
        await self._http.call("GET", "", "health")

    async def owners(self) -> list[str]:
        return list((await self._http.call("GET", "", "owners")).json())

    # How it is done

    async def _page(self, item: type[M], owner: str, *path: str, params: dict[str, Any]) -> Page[M]:
        paging.check_limit(params["limit"])
        items, following = await read_lines(await self._http.call("GET", owner, *path, params=params))
        return Page[M](items=[item.model_validate(each) for each in items], next=following)

    async def _created(self, owner: str, path: str, item: M, get: Callable[[], Awaitable[M]], stored: M) -> None:
        """Create something that has an id of its own; one sent again, equal to what is there, was stored before."""
        repeated: list[bool] = []
        try:
            await self._http.call("POST", owner, path, body=item, on_again=lambda: repeated.append(True))
        except AlreadyExists:
            if not repeated or await get() != stored:
                raise


def _check_run_id(run_id: str) -> None:
    """Raises NotFound."""
    if not rules.is_run_id(run_id):
        raise rules.unknown_run(run_id)


def _check_approval_id(approval_id: str) -> None:
    """Raises NotFound."""
    if not rules.is_run_id(approval_id):
        raise NotFound(rules.unknown_approval(approval_id).message)
