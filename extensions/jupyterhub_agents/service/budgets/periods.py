"""Days and months of a site's time zone, in which budgets count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class PeriodKind(StrEnum):
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True)
class Now:
    """The day and the month of a moment, as `2026-11-21` and `2026-11`, and when each ends (UTC)."""

    day: str
    month: str
    day_ends: datetime
    month_ends: datetime

    def key(self, kind: PeriodKind) -> str:
        return self.day if kind is PeriodKind.DAY else self.month

    def ends(self, kind: PeriodKind) -> datetime:
        return self.day_ends if kind is PeriodKind.DAY else self.month_ends


class Periods:
    """Finds the periods of a moment. The day's borders are local midnights, so a day may have 23 or 25 hours."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._from: datetime | None = None
        self._now: Now | None = None

    def at(self, moment: datetime) -> Now:
        if self._now is None or self._from is None or not self._from <= moment < self._now.day_ends:
            today = moment.astimezone(self._zone).date()
            next_month = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
            self._from = self._midnight(today)
            self._now = Now(
                day=today.isoformat(),
                month=f"{today:%Y-%m}",
                day_ends=self._midnight(today + timedelta(days=1)),
                month_ends=self._midnight(next_month),
            )
        return self._now

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone).astimezone(UTC)
