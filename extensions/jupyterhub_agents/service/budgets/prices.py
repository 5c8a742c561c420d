"""What a call costs: the checked-in table, and what a site says otherwise."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from ..gateway.meter import Usage
from .money import nanos

KINDS = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
MAX_PROMPT_TOKENS = 1_000_000
"""The longest prompt that any model takes (Anthropic's documentation, "Context windows")."""
_PER_TOKEN = 1_000_000


@dataclass(frozen=True)
class Price:
    """Nano-dollars per token, by kind. `over` holds instead for a prompt longer than `over_tokens`."""

    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int
    over_tokens: int | None = None
    over: Price | None = None

    def of(self, prompt_tokens: int) -> Price:
        """The prices for a prompt of that length."""
        if self.over is not None and self.over_tokens is not None and prompt_tokens > self.over_tokens:
            return self.over
        return self

    @property
    def dearest_input(self) -> int:
        return max(self.input, self.cache_write_5m, self.cache_write_1h, self.cache_read)


class Prices:
    """Prices by model. A model that no family knows has the price `unknown`, which is never zero."""

    def __init__(
        self, families: Mapping[str, Price], *, server_tool_request: int, unknown: Price | None = None,
        date: str = "", source: str = "",
    ) -> None:  # fmt: skip
        self.families = dict(families)
        self.server_tool_request = server_tool_request
        self.date = date
        self.source = source
        self._unknown = unknown or _dearest(self.families.values())
        self._longest_first = sorted(self.families, key=len, reverse=True)
        # Requests name few models, but a caller may name any: what is remembered is bounded.
        self.of = functools.lru_cache(maxsize=256)(self._of)

    @classmethod
    def load(
        cls, overrides: Mapping[str, Mapping[str, Any]] | None = None, unknown: Mapping[str, Any] | None = None
    ) -> Prices:
        """The checked-in table. `overrides` gives families, whole or in part, in the form of the table;
        `server_tool_request` in it is that price. Raises ValueError, which names what is wrong."""
        text = resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8")
        table = tomllib.loads(text)
        models: dict[str, dict[str, Any]] = table["models"]
        tool: Any = table["server_tool_request"]
        for family, changes in (overrides or {}).items():
            if family == "server_tool_request":
                tool = changes
            else:
                models[family] = models.get(family, {}) | dict(changes)
        return cls(
            {family: _price(family, entry) for family, entry in models.items()},
            server_tool_request=_amount("server_tool_request", tool),
            unknown=_price("unknown_price", unknown) if unknown else None,
            date=table["date"],
            source=table["source"],
        )

    def cost(self, model: str, usage: Usage) -> int:
        """Nano-dollars for what was used."""
        written_1h = min(usage.cache_creation_1h_input_tokens, usage.cache_creation_input_tokens)
        written_5m = usage.cache_creation_input_tokens - written_1h
        prompt = usage.input_tokens + usage.cache_creation_input_tokens + usage.cache_read_input_tokens
        price = self.of(model).of(prompt)
        return (
            usage.input_tokens * price.input
            + usage.output_tokens * price.output
            + written_5m * price.cache_write_5m
            + written_1h * price.cache_write_1h
            + usage.cache_read_input_tokens * price.cache_read
            + usage.server_tool_requests * self.server_tool_request
        )

    def most(self, model: str, prompt_tokens: int, output_tokens: int) -> int:
        """The most that a call may cost whose prompt has so many tokens: each at the dearest kind."""
        prompt_tokens = min(prompt_tokens, MAX_PROMPT_TOKENS)
        price = self.of(model).of(prompt_tokens)
        return prompt_tokens * price.dearest_input + output_tokens * price.output

    def family(self, model: str) -> str | None:
        """The family that `model` belongs to, or None. Names of Vertex AI (`claude-opus-4-5@20251101`) and
        of Bedrock (`us.anthropic.claude-...`), and Claude Code's `[1m]`, are understood."""
        name = model.lower().rpartition("anthropic.")[2].rpartition("/")[2]
        for family in self._longest_first:
            if name.startswith(family) and re.match(r"$|[-@:\[]", name[len(family) :]):
                return family
        return None

    def _of(self, model: str) -> Price:
        family = self.family(model)
        return self._unknown if family is None else self.families[family]


def _price(name: str, entry: Mapping[str, Any]) -> Price:
    if unknown := set(entry) - {*KINDS, "over", "tokens"}:
        raise ValueError(f"The price of {name} has {sorted(unknown)[0]!r}, which is none of {', '.join(KINDS)}, over.")
    if missing := [kind for kind in KINDS if kind not in entry]:
        raise ValueError(f"The price of {name} lacks {', '.join(missing)} (dollars per million tokens).")
    price = _of_kinds(lambda kind: _amount(f"{name}.{kind}", entry[kind], _PER_TOKEN))
    if price.input == 0 and price.output == 0:
        raise ValueError(f"The price of {name} is nothing at all. Give what it costs; budgets would never end.")
    over = entry.get("over")
    if over is None:
        return price
    tokens = over.get("tokens")
    if not isinstance(tokens, int) or tokens <= 0:
        raise ValueError(f"The price of {name} has an `over` without `tokens`, a number of tokens above 0.")
    return replace(price, over_tokens=tokens, over=_price(f"{name}.over", over))


def _amount(name: str, value: Any, divisor: int = 1) -> int:
    try:
        amount, rest = divmod(nanos(value), divisor)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if rest:
        raise ValueError(f"{name} is {value}, finer than $0.001 per million tokens.")
    return amount


def _dearest(prices: Iterable[Price]) -> Price:
    """The dearest of each kind."""
    every = [one for price in prices for one in (price, price.over) if one is not None]
    return _of_kinds(lambda kind: max(getattr(price, kind) for price in every))


def _of_kinds(amount: Callable[[str], int]) -> Price:
    amounts = {kind: amount(kind) for kind in KINDS}
    return Price(
        amounts["input"], amounts["output"], amounts["cache_write_5m"], amounts["cache_write_1h"], amounts["cache_read"]
    )
