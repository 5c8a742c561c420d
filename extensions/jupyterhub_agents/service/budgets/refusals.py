"""The refusals a person reads, in the Messages API's error types.

Claude Code takes a 429 as passing and tries again for minutes in silence, unless `x-should-retry: false` says that
there is no use. What passes soon says the opposite, as without a word the gateway adds that header to each refusal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from ..gateway.meter import Call, Refused
from .ledger import Account, Grant, Kind
from .money import shown
from .periods import PeriodKind
from .rates import Exceeded

_FINAL = {"x-should-retry": "false"}
_PASSING = {"x-should-retry": "true"}
_SOON_S = 3


def over_budget(
    call: Call, account: Account, grant: Grant, need: int, ends: datetime, now: datetime, zone: str, contact: str
) -> Refused:
    """429 `billing_error`: what is left of a budget does not cover what the call may cost."""
    limit = grant.limit or 0
    whose = _whose(account, call.person.name)
    period = "today" if account.period is PeriodKind.DAY else f"{account.key} (this month)"
    wait = max(1, math.ceil((ends - now).total_seconds()))
    until = f"It starts anew {_in(ends - now)} (at {ends:%Y-%m-%d %H:%M} UTC)."
    if account.period is PeriodKind.DAY and zone != "UTC":
        until = f"It starts anew {_in(ends - now)} (at midnight, {zone})."
    left = max(0, limit - grant.spent)
    if limit == 0:
        what = f"{_capital(whose)} has a budget of $0.00 for {period}, so no call can be made."
    elif need > limit:
        what = (
            f"This call to {call.model} may cost up to {shown(need)}, which is more than the whole budget of "
            f"{whose} for {period}, {shown(limit)}. Choose a cheaper model or a smaller limit of output tokens."
        )
    elif left == 0:
        what = f"The budget of {whose} for {period} is used up: {shown(grant.spent)} of {shown(limit)} is spent."
    else:
        what = (
            f"The budget of {whose} for {period} is nearly used up: {shown(left)} of {shown(limit)} is left, and "
            f"this call to {call.model} may cost up to {shown(need)}."
        )
    return Refused(429, "billing_error", f"{what} {until} {_ask(contact)}", _FINAL | {"retry-after": str(wait)})


def reserved_meanwhile(call: Call, account: Account, contact: str) -> Refused:
    """429 `rate_limit_error`: there would be room, once the calls under way have been billed."""
    message = (
        f"What is left of the budget of {_whose(account, call.person.name)} is reserved by other calls at this "
        f"moment. Try again in {_SOON_S} seconds. {_ask(contact)}"
    )
    return Refused(429, "rate_limit_error", message, _PASSING | {"retry-after": str(_SOON_S)})


def model_not_allowed(call: Call, allowed: Sequence[str], contact: str) -> Refused:
    """403 `permission_error`."""
    names = ", ".join(allowed) if allowed else "no model at all"
    message = f"The model {call.model[:100]} is not open to {call.person.name} here. Open are: {names}. {_ask(contact)}"
    return Refused(403, "permission_error", message, _FINAL)


def too_fast(call: Call, exceeded: Exceeded, contact: str) -> Refused:
    """429 `rate_limit_error`, with the API's own headers."""
    message = (
        f"{call.person.name} may use {exceeded.limit:,} {exceeded.what} a minute here, and has used them. Try again in "
        f"{exceeded.retry_after_s} seconds. {_ask(contact)}"
    )
    return Refused(429, "rate_limit_error", message, _PASSING | exceeded.headers)


def ledger_away(contact: str) -> Refused:
    """503 `api_error`: the budgets cannot be read now."""
    message = f"The hub cannot look at the budgets at this moment. Try again in {_SOON_S} seconds. {_ask(contact)}"
    return Refused(503, "api_error", message, _PASSING | {"retry-after": str(_SOON_S)})


def _whose(account: Account, person: str) -> str:
    if account.kind is Kind.HUB:
        return "the whole hub"
    return f"the group {account.name}" if account.kind is Kind.GROUP else person


def _ask(contact: str) -> str:
    return f"Ask {contact}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text.startswith("the ") else text


def _in(left: timedelta) -> str:
    minutes = max(1, math.ceil(left.total_seconds() / 60))
    if minutes < 120:
        return f"in {minutes} minute{'s' if minutes > 1 else ''}"
    hours = round(minutes / 60)
    return f"in {hours} hours" if hours < 48 else f"in {round(hours / 24)} days"
