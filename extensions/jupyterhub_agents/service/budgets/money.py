"""Money inside: whole nano-dollars, so that sums are exact. A price of $0.001 per million tokens is 1 a token."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

NANOS = 1_000_000_000
"""Nano-dollars of a dollar. 64 bits of them, which SQLite and Firestore have, are nine billion dollars."""
MAX_DOLLARS = 1_000_000_000


def nanos(dollars: str | int | float | Decimal) -> int:
    """Whole nano-dollars of an amount in dollars; a float counts as the decimal number it is shown as.
    Raises ValueError: for what is no amount from 0 to a billion, or finer than a nano-dollar."""
    try:
        value = Decimal(str(dollars))
    except InvalidOperation:
        raise ValueError(f"{str(dollars)[:50]!r} is no amount in dollars: give a number such as 2.50") from None
    if not value.is_finite() or not 0 <= value <= MAX_DOLLARS:
        raise ValueError(f"{str(dollars)[:50]} is not an amount from 0 to {MAX_DOLLARS:,} dollars")
    if value and value.adjusted() < -9:
        raise ValueError(f"{str(dollars)[:50]} is finer than a billionth of a dollar")
    whole = value * NANOS if value else Decimal(0)
    if whole != int(whole):
        raise ValueError(f"{str(dollars)[:50]} is finer than a billionth of a dollar")
    return int(whole)


def dollars(amount: int) -> str:
    """`amount` nano-dollars as an exact decimal text in dollars, with at least two places: `2.50`, `0.0001`."""
    sign = "-" if amount < 0 else ""
    whole, rest = divmod(abs(amount), NANOS)
    return f"{sign}{whole}.{f'{rest:09d}'.rstrip('0').ljust(2, '0')}"


def shown(amount: int) -> str:
    """`amount` nano-dollars for a sentence: `$2.50`; what would show as nothing is `under $0.01`."""
    cents = (amount + NANOS // 200) // (NANOS // 100)
    if amount > 0 and cents == 0:
        return "under $0.01"
    return f"${cents // 100:,}.{cents % 100:02d}"
