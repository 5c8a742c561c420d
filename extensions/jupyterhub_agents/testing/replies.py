"""What a script is written with: `say`, `think` and `use`, joined by `+`; `fail` and `silent` for trouble.

think("Look first.") + say("I list the files.") + use("Bash", {"command": "ls"})
say("Slowly, now").paced(0.2)
[fail(429, retry_after=1).times(2), say("The third attempt gets this.")]
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .messages_api import ERROR_TYPES, Json

DEFAULT_CHUNKS = 12
"""In at most so many pieces a block is streamed, unless the reply says otherwise."""


@dataclass(frozen=True)
class Reply:
    """One assistant message, and how it is delivered. Each method gives a changed copy. Of two replies joined
    by `+`, the options of the right one win where it sets any."""

    blocks: tuple[Json, ...] = ()
    delay_s: float | None = None
    pace_s: float | None = None
    pieces: int | None = None
    broken_after: int | None = None
    broken_times: int | None = None
    broken_error: str | None = None
    tokens: tuple[tuple[str, int], ...] = ()
    stop_reason: str | None = None
    model: str | None = None

    def __add__(self, other: Reply) -> Reply:
        options = {
            name: value for name, value in vars(other).items() if name not in ("blocks", "tokens") and value is not None
        }
        return replace(
            self, blocks=self.blocks + other.blocks, tokens=self.tokens + other.tokens, **options
        )  # fmt: skip

    def delayed(self, seconds: float) -> Reply:
        """Nothing is answered, not even the status, for so long."""
        return replace(self, delay_s=seconds)

    def paced(self, seconds: float) -> Reply:
        """So long a pause before each piece; the pieces are words unless `chunks` is set."""
        return replace(self, pace_s=seconds)

    def chunks(self, count: int) -> Reply:
        """Each block is streamed in so many pieces, or fewer when it has fewer characters."""
        return replace(self, pieces=count)

    def broken(self, after_events: int, *, times: int | None = 1, error: str | None = None) -> Reply:
        """The connection is cut after so many events of the stream, the first `times` times it is asked for
        (None is always); with `error`, an error event of that type comes before the cut."""
        return replace(self, broken_after=after_events, broken_times=times, broken_error=error)

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read: int | None = None,
        cache_creation: int | None = None,
    ) -> Reply:
        """The token counts to report, instead of a quarter of the characters."""
        given = {
            "input_tokens": input_tokens, "output_tokens": output_tokens,
            "cache_read_input_tokens": cache_read, "cache_creation_input_tokens": cache_creation,
        }  # fmt: skip
        return replace(self, tokens=(*self.tokens, *((k, v) for k, v in given.items() if v is not None)))

    def stopping(self, reason: str) -> Reply:
        """The stop_reason to report, such as `max_tokens` or `refusal`."""
        return replace(self, stop_reason=reason)

    def as_model(self, model: str) -> Reply:
        """The model id to report, instead of the one that was asked for."""
        return replace(self, model=model)

    @property
    def output_tokens(self) -> int:
        return max(1, sum(len(_streamed(block)) for block in self.blocks) // 4)

    def streamed_pieces(self, block: Json) -> list[str]:
        """The parts in which a block is streamed."""
        text = _streamed(block)
        words = re.findall(r"\s*\S+\s*?(?=\s|$)|\s+$", text) or [text]
        if self.pieces is not None:
            return _split(text, self.pieces)
        if self.pace_s is not None and block["type"] != "tool_use":
            return words
        size = -(-len(words) // DEFAULT_CHUNKS)
        return ["".join(words[i : i + size]) for i in range(0, len(words), size)]


@dataclass(frozen=True)
class Obstacle:
    """What comes in place of an answer, the first `count` times it is asked for (None is always); after that
    the next entry of the script is played. It makes no assistant message, so it takes no reply's place."""

    status: int | None
    """None sends nothing at all and then closes the connection."""
    kind: str = ""
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0
    count: int | None = 1

    def times(self, count: int) -> Obstacle:
        return replace(self, count=count)

    def always(self) -> Obstacle:
        return replace(self, count=None)

    def delayed(self, seconds: float) -> Obstacle:
        """Nothing is answered for so long."""
        return replace(self, delay_s=seconds)


Entry = Reply | Obstacle


def say(text: str) -> Reply:
    """A text block."""
    return Reply(({"type": "text", "text": text},))


def think(text: str) -> Reply:
    """A thinking block, signed."""
    return Reply(({"type": "thinking", "thinking": text, "signature": "c2NyaXB0ZWQ="},))


def use(tool: str, input: Mapping[str, Any] | None = None, id: str | None = None) -> Reply:
    """A tool call. Without an `id` it gets one that is unique in its conversation."""
    return Reply(({"type": "tool_use", "id": id or "", "name": tool, "input": dict(input or {})},))


def fail(
    status: int,
    type: str | None = None,
    message: str = "This error is in the script.",
    *,
    retry_after: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Obstacle:
    """An error answer, once unless `.times(n)` or `.always()`. The type defaults to the status's own;
    `retry_after` is in seconds."""
    extra = dict(headers or {})
    if retry_after is not None:
        extra["retry-after"] = f"{retry_after:g}"
    kind = type or ERROR_TYPES.get(status, "api_error")
    return Obstacle(status, kind, message, tuple(extra.items()))


def silent(seconds: float) -> Obstacle:
    """No answer for so long, then the connection is closed."""
    return Obstacle(None, delay_s=seconds)


def _streamed(block: Json) -> str:
    if block["type"] == "tool_use":
        return json.dumps(block["input"], ensure_ascii=False)
    return str(block[block["type"]])


def _split(text: str, count: int) -> list[str]:
    """`text` in `count` parts of nearly equal length, none of them empty."""
    count = max(1, min(count, len(text)))
    edges = [len(text) * i // count for i in range(count + 1)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]
