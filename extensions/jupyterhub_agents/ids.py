"""Ids, randomness and time: made here and nowhere else."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the current time, aware and in UTC."""


def utcnow() -> datetime:
    """The wall clock, aware and in UTC."""
    return datetime.now(UTC)


def new_id(clock: Clock = utcnow) -> str:
    """A new id that sorts by the time of its making: a version 7 UUID (RFC 9562, section 5.7)."""
    milliseconds = int(clock().timestamp() * 1000) & ((1 << 48) - 1)
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def new_session_id() -> str:
    """A new id for a Claude session, which the CLI wants as a random UUID."""
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
