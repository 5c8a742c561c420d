"""`/api/approvals`: the tool calls that wait for a person, and what people decide."""

from __future__ import annotations

from ..models import ApprovalDecision
from ..queries import ApprovalsQuery
from .base import AgentsHandler, Empty, authorized, web


class ApprovalsListHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        query = self.query(ApprovalsQuery)
        store = await self.store()
        self.reply(
            await store.list_approvals(
                self.owner, run_id=query.run, waiting=query.waiting, limit=query.limit, before=query.before
            )
        )


class ApprovalHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def get(self, approval_id: str) -> None:
        self.query(Empty)
        self.reply(await (await self.store()).get_approval(self.owner, approval_id))


class DecideHandler(AgentsHandler):
    @web.authenticated
    @authorized
    async def post(self, approval_id: str) -> None:
        request = self.body(ApprovalDecision)
        manager = await self.manager()
        self.reply(
            await manager.decide(approval_id, request.decision, message=request.message, by=self.current_user.username)
        )
