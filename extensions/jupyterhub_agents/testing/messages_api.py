"""The Messages API's wire format, as far as a model that only plays a script needs it.

Sources: Anthropic's API documentation, "Messages", "Streaming Messages", "Errors" and "Count tokens".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]

ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
    403: "permission_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error",
    500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}  # fmt: skip
"""The error type that goes with each status."""
_DELTAS = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}


class BadRequest(Exception):
    """A request that the API would refuse with 400; the text says why."""


def check(body: Any, *, counting: bool = False) -> Json:
    """`body` if the API would take it. Raises BadRequest: for what is missing, and for a tool call whose
    result does not follow at once, which is how a spoiled history shows."""
    if not isinstance(body, dict):
        raise BadRequest("The request body is not a JSON object.")
    needed: dict[str, type] = {"model": str, "messages": list} | ({} if counting else {"max_tokens": int})
    for name, kind in needed.items():
        if name not in body:
            raise BadRequest(f"{name}: Field required")
        if not isinstance(body[name], kind):
            raise BadRequest(f"{name}: Input should be a valid {kind.__name__}")
    for index, message in enumerate(body["messages"]):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise BadRequest(f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
        if not isinstance(message.get("content"), str | list):
            raise BadRequest(f"messages.{index}.content: Input should be a valid string or list")
    _check_tool_calls(body["messages"])
    return body


def _check_tool_calls(messages: Sequence[Json]) -> None:
    talk = [(index, message) for index, message in enumerate(messages) if message["role"] != "system"]
    if not talk:
        raise BadRequest("messages: at least one message is required")
    open_calls: list[str] = []
    for index, message in [*talk, (len(messages), {"content": []})]:
        answered = _ids(message, "tool_result", "tool_use_id")
        if missing := [call for call in open_calls if call not in answered]:
            raise BadRequest(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(missing)}"
            )
        if strange := [call for call in answered if call not in open_calls]:
            raise BadRequest(
                f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(strange)}"
            )
        open_calls = _ids(message, "tool_use", "id")


def error_body(kind: str, message: str, request_id: str) -> Json:
    """The body of every error answer."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def message_body(*, id: str, model: str, content: Sequence[Json], stop_reason: str, usage: Json) -> Json:
    """A whole answer, as given without streaming."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(content),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def stream_events(message: Json, pieces: Sequence[Sequence[str]]) -> Iterator[Json]:
    """The events of a streamed answer. `pieces` are the parts in which each block's text, or its input as JSON,
    is sent: each makes one delta."""
    usage = message["usage"]
    start = message | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 0}}
    yield {"type": "message_start", "message": start}
    yield {"type": "ping"}
    for index, (block, parts) in enumerate(zip(message["content"], pieces, strict=True)):
        yield {"type": "content_block_start", "index": index, "content_block": _emptied(block)}
        delta = _DELTAS[block["type"]]
        field = "partial_json" if block["type"] == "tool_use" else block["type"]
        for part in parts:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": delta, field: part}}
        if block["type"] == "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            yield {"type": "content_block_delta", "index": index, "delta": signed}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def sse(event: Json) -> bytes:
    """An event as it goes over the wire."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def identifier(prefix: str, *parts: object) -> str:
    """An id in the API's form that depends on `parts` alone."""
    return f"{prefix}_01{hashlib.sha256(repr(parts).encode()).hexdigest()[:22]}"


def blocks(content: Any) -> list[Json]:
    """A message's content as a list of blocks; the API also takes a text alone."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _emptied(block: Json) -> Json:
    if block["type"] == "tool_use":
        return block | {"input": {}}
    return {name: value if name == "type" else "" for name, value in block.items()}


def _ids(message: Json, kind: str, name: str) -> list[str]:
    return [block[name] for block in blocks(message["content"]) if block.get("type") == kind]
