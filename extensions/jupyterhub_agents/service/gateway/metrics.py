"""What the gateway counts, for Prometheus. Nothing here names a person."""

from __future__ import annotations

from dataclasses import asdict

from prometheus_client import Counter, Gauge, Histogram

from .meter import Usage

NOTHING = Usage()
CALLS = Counter("agents_gateway_calls", "Answers of the upstream, by path and status.", ["path", "status"])
REFUSALS = Counter("agents_gateway_refusals", "Calls that the gateway itself refused, by why.", ["why"])
CUT = Counter("agents_gateway_cut", "Answers that were cut in the middle, by who did it.", ["by"])
OPEN = Gauge("agents_gateway_open_calls", "Calls on their way now.")
TOKENS = Counter("agents_gateway_tokens", "Tokens that calls used, by kind.", ["kind"])
FIRST_BYTE = Histogram(
    "agents_gateway_first_byte_seconds", "From a call's arrival to the first byte of the upstream's answer.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)  # fmt: skip


def count(usage: Usage) -> None:
    """Add what a call used."""
    for kind, number in asdict(usage).items():
        if number:
            TOKENS.labels(kind).inc(number)
