"""Requests and tokens a minute of each person, in memory of each replica.

A token bucket, as the API's own limits are (its documentation, "Rate limits"): it fills all the time, and a minute's
worth fits in. Tokens count once they are known, so the bucket may go below empty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

_MINUTE_S = 60.0


@dataclass(slots=True)
class Bucket:
    """`size` units a minute."""

    size: int
    level: float
    at: datetime

    def fill(self, now: datetime) -> None:
        passed = max(0.0, (now - self.at).total_seconds())
        self.level = min(float(self.size), self.level + passed * self.size / _MINUTE_S)
        self.at = max(now, self.at)

    def seconds_until(self, level: float) -> float:
        return max(0.0, (level - self.level) * _MINUTE_S / self.size)


@dataclass(frozen=True)
class Exceeded:
    """Which limit (`requests` or `tokens`), how many a minute, and the seconds until a call may come again."""

    what: str
    limit: int
    retry_after_s: int
    headers: dict[str, str]


class Rates:
    """A limit of 0 is none."""

    def __init__(self, requests: int, tokens: int) -> None:
        self._sizes = {"requests": requests, "tokens": tokens}
        self._buckets: dict[str, dict[str, Bucket]] = {}

    def take(self, person: str, tokens: int, now: datetime) -> Exceeded | None:
        """Count a request of so many tokens, or say why it may not come now; then nothing is counted."""
        buckets = self._of(person, now)
        needed = {"requests": 1.0, "tokens": 1.0}
        for what, bucket in buckets.items():
            if bucket.level < needed[what]:
                wait = max(1, math.ceil(bucket.seconds_until(needed[what])))
                return Exceeded(what, bucket.size, wait, _headers(buckets, now, wait))
        self._add(buckets, "requests", -1)
        self._add(buckets, "tokens", -tokens)
        return None

    def correct(self, person: str, tokens: int, now: datetime) -> None:
        """Count so many tokens more (or less) than a request was taken with."""
        self._add(self._of(person, now), "tokens", -tokens)

    def forget_idle(self, now: datetime) -> None:
        """Drop the people whose buckets are full."""
        for person, buckets in [*self._buckets.items()]:
            for bucket in buckets.values():
                bucket.fill(now)
            if all(bucket.level >= bucket.size for bucket in buckets.values()):
                del self._buckets[person]

    def _of(self, person: str, now: datetime) -> dict[str, Bucket]:
        buckets = self._buckets.get(person)
        if buckets is None:
            buckets = {what: Bucket(size, size, now) for what, size in self._sizes.items() if size}
            if buckets:
                self._buckets[person] = buckets
        for bucket in buckets.values():
            bucket.fill(now)
        return buckets

    @staticmethod
    def _add(buckets: dict[str, Bucket], what: str, amount: int) -> None:
        if what in buckets:
            bucket = buckets[what]
            bucket.level = min(float(bucket.size), bucket.level + amount)


def _headers(buckets: dict[str, Bucket], now: datetime, wait: int) -> dict[str, str]:
    """As the API gives them (its documentation, "Rate limits", "Response headers"): `reset` is when the limit is whole
    again, in RFC 3339."""
    headers = {"retry-after": str(wait)}
    for what, bucket in buckets.items():
        whole = now + timedelta(seconds=math.ceil(bucket.seconds_until(bucket.size)))
        headers[f"anthropic-ratelimit-{what}-limit"] = str(bucket.size)
        headers[f"anthropic-ratelimit-{what}-remaining"] = str(max(0, int(bucket.level)))
        headers[f"anthropic-ratelimit-{what}-reset"] = f"{whole:%Y-%m-%dT%H:%M:%SZ}"
    return headers
