"""A call that is under way: what is reserved for it, and how it is billed in the end."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from ..gateway.meter import Call, Usage
from .ledger import Account, CallRecord
from .prices import Prices

MAX_OUTPUT_TOKENS = 128_000
"""The most that any model writes (Anthropic's documentation, "Models overview")."""
USUAL_CHARS_PER_TOKEN = 4
"""Of a request body, for a guess at what was used. For what may be used `chars_per_token` counts."""
_LONGEST_NAME = 200
"""Letters of a model's name that go on record: a caller may name anything."""
_PLACEHOLDER_TOKENS = 16
"""A stream's first event tells a few output tokens, whatever comes (Messages API, `message_start`)."""


class Booking:
    """The Reservation of one call: `need` nano-dollars of each account. `guess` is how many tokens it was counted with
    against the rate; `keep` puts its bill on record."""

    def __init__(
        self,
        id: str,
        call: Call,
        accounts: Sequence[Account],
        *,
        need: int,
        guess: int,
        day: str,
        reserved_at: datetime,
        prices: Prices,
        cut_tokens_per_s: float,
        keep: Callable[[Booking, CallRecord], Awaitable[None]],
    ) -> None:
        self.id = id
        self.call = call
        self.accounts = accounts
        self.need = need
        self.guess = guess
        self.day = day
        self.reserved_at = reserved_at
        self.settled = False
        self._prices = prices
        self._cut_tokens_per_s = cut_tokens_per_s
        self._keep = keep

    async def settle(self, usage: Usage, *, status: int, duration_s: float, complete: bool) -> None:
        """Bill the call. Returns when that is durable. Raises StoreUnavailable when the ledger cannot be written now;
        the bill is kept, and tried again in the background. A second call does nothing."""
        if self.settled:
            return
        self.settled = True
        await self._keep(self, self.record(usage, status, duration_s, complete))

    def record(self, usage: Usage, status: int, duration_s: float, complete: bool) -> CallRecord:
        """The call as it goes on record."""
        call = self.call
        seen, estimated = self._usage(usage, status, duration_s, complete)
        written_1h = min(seen.cache_creation_1h_input_tokens, seen.cache_creation_input_tokens)
        return CallRecord(
            id=self.id,
            # Not the gateway's own time: so that time and day agree.
            started_at=self.reserved_at,
            day=self.day,
            person=call.person.name,
            via=call.person.kind,
            run_id=call.person.run_id,
            agent_id=call.person.agent_id,
            groups=tuple(dict.fromkeys(call.person.groups)),
            model=_storable(call.model),
            input_tokens=seen.input_tokens,
            output_tokens=seen.output_tokens,
            cache_write_5m_tokens=seen.cache_creation_input_tokens - written_1h,
            cache_write_1h_tokens=written_1h,
            cache_read_tokens=seen.cache_read_input_tokens,
            server_tool_requests=seen.server_tool_requests,
            cost=self._prices.cost(call.model, seen),
            status=status,
            duration_us=max(0, round(duration_s * 1_000_000)),
            stream=call.stream,
            complete=complete,
            estimated=estimated,
        )

    def _usage(self, usage: Usage, status: int, duration_s: float, complete: bool) -> tuple[Usage, bool]:
        """What to bill, and whether it is a guess. An answer that began is paid for upstream, however it ended."""
        nothing = not any(vars(usage).values())
        if not 200 <= status < 300 or (complete and not nothing):
            return usage, False
        prompt = usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens
        input_tokens = usage.input_tokens if prompt else math.ceil(self.call.input_chars / USUAL_CHARS_PER_TOKEN)
        output_tokens = usage.output_tokens
        if output_tokens <= _PLACEHOLDER_TOKENS:
            most = MAX_OUTPUT_TOKENS if self.call.max_tokens is None else self.call.max_tokens
            rate = self._cut_tokens_per_s
            output_tokens = max(output_tokens, min(math.ceil(duration_s * rate), most, MAX_OUTPUT_TOKENS))
        values = vars(usage) | {"input_tokens": input_tokens, "output_tokens": output_tokens}
        return Usage(**values), True


def _storable(name: str) -> str:
    """JSON can hold half of a surrogate pair, which no database takes."""
    return name[:_LONGEST_NAME].encode("utf-8", "replace").decode()
