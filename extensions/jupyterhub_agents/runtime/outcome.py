"""What the CLI's messages mean for a run: its deltas, its usage, how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..models import Delta, RunError, RunStatus, RunUsage, TokenUsage

# Claude Code's `modelUsage` (the SDK's documentation, ResultMessage.model_usage) and our names for it.
MODEL_USAGE_FIELDS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheCreationInputTokens": "cache_creation_input_tokens",
    "costUSD": "cost_usd",
}
DeltaKind = Literal["text", "thinking", "tool_input"]
DELTA_KINDS: dict[str, tuple[DeltaKind, str]] = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("tool_input", "partial_json"),
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: RunStatus
    result: str | None = None
    error: RunError | None = None

    @classmethod
    def failed(cls, code: str, message: str) -> Outcome:
        return cls(RunStatus.FAILED, error=RunError(code=code, message=message))


def interrupted(why: str) -> Outcome:
    """The outcome of a run that lost its workspace and can be resumed."""
    error = RunError(code="interrupted", message=f"{why} Resume it to go on where it was.")
    return Outcome(RunStatus.INTERRUPTED, error=error)


def outcome_of(result: dict[str, Any]) -> Outcome:
    """The outcome that a `result` message tells."""
    subtype = str(result.get("subtype"))
    text = result.get("result") if isinstance(result.get("result"), str) else None
    said = "; ".join(str(error) for error in result.get("errors") or []) or text or ""
    if subtype == "success" and not result.get("is_error"):
        return Outcome(RunStatus.SUCCEEDED, result=text or "")
    if subtype == "error_max_turns":
        turns = result.get("num_turns")
        return Outcome.failed(
            "max_turns",
            f"It was stopped after {turns} turns, the most it may take. Resume it to go on, or raise the agent's "
            "max_turns.",
        )
    if subtype == "error_max_budget_usd":
        return Outcome.failed(
            "max_budget",
            f"It was stopped at ${float(result.get('total_cost_usd') or 0):.2f}, the agent's budget. "
            "Resume it to go on, or raise max_budget_usd.",
        )
    if subtype == "success":
        status = result.get("api_error_status")
        code = f"api_error_{status}" if isinstance(status, int) else "api_error"
        return Outcome.failed(code, said or "The model's API answered with an error.")
    return Outcome.failed("execution_error", said or f"Claude Code ended with {subtype}.")


class UsageCounter:
    """Adds up what a run used, over all the CLI processes that worked on it.

    The CLI's `modelUsage` counts from the start of its process, or, when it resumed a session, from what it kept of
    that (`kept`); it has what subagents used as well, which `usage` has not. The newest replaces those before it.
    """

    def __init__(self, before: RunUsage, kept: dict[str, Any]) -> None:
        self._before = before
        self._kept = model_usage(kept)
        self._models: dict[str, TokenUsage] = {}
        self._messages: dict[str, tuple[str, TokenUsage]] = {}

    def take(self, message: dict[str, Any]) -> None:
        """Look at a message of the CLI."""
        if message.get("type") == "result" and isinstance(message.get("modelUsage"), dict):
            self._models = {
                model: used - self._kept.get(model, TokenUsage())
                for model, used in model_usage(message["modelUsage"]).items()
            }
            self._messages.clear()
        elif message.get("type") == "assistant":
            # What is used after the last result, or without one: tokens are known, dollars are not.
            api = message.get("message") or {}
            used = api.get("usage") or {}
            counts = {name: used[name] for name in TokenUsage.model_fields if isinstance(used.get(name), int)}
            if any(counts.values()):
                self._messages[str(api.get("id"))] = (str(api.get("model")), TokenUsage(**counts))

    @property
    def total(self) -> RunUsage:
        models = dict(self._before.models)
        for model, used in [*self._models.items(), *self._messages.values()]:
            if used != TokenUsage():
                models[model] = models.get(model, TokenUsage()) + used
        return RunUsage(models=models, cost_usd=round(sum(used.cost_usd for used in models.values()), 10))


def model_usage(reported: dict[str, Any]) -> dict[str, TokenUsage]:
    """The CLI's `modelUsage` in our names."""
    return {
        model: TokenUsage(**{ours: used.get(theirs) or 0 for theirs, ours in MODEL_USAGE_FIELDS.items()})
        for model, used in reported.items()
        if isinstance(used, dict)
    }


class DeltaReader:
    """Turns the CLI's `stream_event` messages, which wrap the API's own stream, into deltas."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._messages: dict[str | None, str] = {}

    def read(self, message: dict[str, Any]) -> Delta | None:
        """The delta in a `stream_event` message; None when it holds no text."""
        event = message.get("event") or {}
        parent = message.get("parent_tool_use_id")
        if event.get("type") == "message_start":
            self._messages[parent] = str((event.get("message") or {}).get("id"))
        if event.get("type") != "content_block_delta":
            return None
        delta = event.get("delta") or {}
        kind, field = DELTA_KINDS.get(str(delta.get("type")), ("text", ""))
        if not delta.get(field):
            return None
        return Delta.model_construct(
            run_id=self._run_id,
            kind=kind,
            message_id=self._messages.get(parent, ""),
            block=int(event.get("index") or 0),
            text=str(delta[field]),
            parent_tool_use_id=parent,
        )
