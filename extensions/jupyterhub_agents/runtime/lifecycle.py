"""What the log says of a run's way: queued, started, asked about, ended, with figures and without anybody's words."""

from __future__ import annotations

import logging

from ..models import Agent, Approval, Run
from .logs import about
from .metrics import model_label

log = logging.getLogger(__name__)


def tell_queued(run: Run, *, resumed: bool) -> None:
    log.info(
        "run queued", extra={"trigger": run.trigger.value, "agent_revision": run.agent_revision, "resumed": resumed}
    )


def tell_started(run: Run, agent: Agent) -> None:
    model = "inherit" if agent.model is None or agent.model == "inherit" else model_label(agent.model)
    log.info("run started", extra={"trigger": run.trigger.value, "model": model})


def tell_ended(run: Run, before: Run) -> None:
    """`before` is what it was like when it was queued: the figures are what came to it since then."""
    seconds = None
    if run.finished_at is not None and run.started_at is not None:
        seconds = round((run.finished_at - run.started_at).total_seconds(), 3)
    models = sorted({model_label(name) for name in run.usage.models})
    log.info(
        "run ended",
        extra={
            "trigger": run.trigger.value,
            "status": run.status.value,
            "error": run.error.code if run.error else None,
            "seconds": seconds,
            "turns": run.turns - before.turns,
            "cost_usd": round(run.usage.cost_usd - before.usage.cost_usd, 6),
            "model": ",".join(models) or None,
            "events": run.last_seq,
        },
    )


def tell_asked(approval: Approval) -> None:
    log.info("approval waiting", extra={"approval_id": approval.id, "tool": _tool(approval)})


def tell_decided(run: Run, approval: Approval) -> None:
    """A person's request decides, which is about no run yet."""
    seconds = None
    if approval.decided_at is not None:
        seconds = round((approval.decided_at - approval.created_at).total_seconds(), 3)
    decision = approval.decision.value if approval.decision else None
    with about(run):
        log.info(
            "approval decided",
            extra={"approval_id": approval.id, "tool": _tool(approval), "decision": decision, "seconds": seconds},
        )


def tell_closed(approval: Approval) -> None:
    """The call was withdrawn, or its run ended, before anybody decided."""
    log.info("approval closed", extra={"approval_id": approval.id, "tool": _tool(approval)})


def _tool(approval: Approval) -> str:
    """Somebody named the tools of an MCP server."""
    return "mcp" if approval.tool.startswith("mcp__") else approval.tool
