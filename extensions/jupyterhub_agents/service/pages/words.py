"""The pages' languages: words by gettext, numbers, money and times as a language writes them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, dates, negotiate_locale, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from babel.units import format_unit

from ..budgets.money import NANOS

FOLDER = Path(__file__).parent / "locale"
LANGUAGES = {"en": "English", "ko": "한국어"}
"""What they are called by those who read them."""
NONE = "\N{EN DASH}"
"""Stands where there is no figure."""
_CENT = Decimal("0.01")
_UNITS = ((86_400, "duration-day"), (3_600, "duration-hour"), (60, "duration-minute"), (1, "duration-second"))


def load() -> Mapping[str, NullTranslations]:
    """The words of every language. Reads files."""
    found: dict[str, NullTranslations] = {"en": NullTranslations()}
    for path in sorted(FOLDER.glob("*/messages.po")):
        compiled = io.BytesIO()
        with path.open("rb") as file:
            write_mo(compiled, read_po(file, locale=path.parent.name))
        compiled.seek(0)
        found[path.parent.name] = Translations(compiled)
    return found


def choose(chosen: str | None, accepted: str) -> str:
    """The language: the one that was chosen, else the first of the browser's (Accept-Language) that there is."""
    if chosen in LANGUAGES:
        return str(chosen)
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        try:
            wanted.append((-float(quality or 1), name.replace("-", "_")))
        except ValueError:
            continue
    return negotiate_locale([name for _, name in sorted(wanted, key=lambda one: one[0])], list(LANGUAGES)) or "en"


@dataclass(frozen=True)
class Formats:
    """Writes figures in a language, and times in the site's time zone."""

    language: str
    zone: ZoneInfo

    @property
    def locale(self) -> Locale:
        return Locale.parse(self.language)

    def money(self, nanos: int | None) -> str:
        """Dollars: with cents, and finer where a cent would say nothing."""
        if nanos is None:
            return NONE
        amount = Decimal(nanos) / NANOS
        pattern = "¤#,##0.00" if not amount or amount >= _CENT else "¤0.0000"
        return str(numbers.format_currency(amount, "USD", pattern, locale=self.locale, currency_digits=False))

    def number(self, value: float) -> str:
        return str(numbers.format_decimal(value, locale=self.locale))

    def short(self, value: int) -> str:
        """A large number in few characters: 1.2M."""
        if value < 10_000:
            return self.number(value)
        return str(numbers.format_compact_decimal(value, fraction_digits=1, locale=self.locale))

    def percent(self, part: float) -> str:
        digits = "#,##0.0%" if 0 < part < 0.1 else "#,##0%"
        return str(numbers.format_percent(part, digits, locale=self.locale))

    def seconds(self, value: float | None) -> str:
        """A length of time in its two largest units."""
        if value is None:
            return NONE
        if value < 60:
            return str(format_unit(round(value, 1), "duration-second", "short", locale=self.locale))
        parts, rest = [], round(value)
        for size, unit in _UNITS:
            count, rest = divmod(rest, size)
            parts.append((count, unit))
        while not parts[0][0]:
            parts.pop(0)
        return " ".join(
            str(format_unit(count, unit, "short", locale=self.locale)) for count, unit in parts[:2] if count
        )

    def when(self, moment: datetime | None) -> str:
        if moment is None:
            return NONE
        return self._halves(dates.format_datetime(moment.astimezone(self.zone), "short", locale=self.locale))

    def clock(self, moment: datetime) -> str:
        return self._halves(dates.format_time(moment.astimezone(self.zone), "short", locale=self.locale))

    def _halves(self, text: str) -> str:
        """With the halves of the day in the language's own words, as browsers write them: Unicode's short ones, which
        Babel takes, are English in Korean too."""
        names = self.locale.day_periods["format"]
        for half in ("am", "pm"):
            text = text.replace(names["abbreviated"][half], names["wide"][half])
        return text

    def date(self, moment: datetime) -> str:
        return str(dates.format_skeleton("MMMd", moment.astimezone(self.zone), locale=self.locale))

    def day(self, key: str) -> str:
        """`2026-11-21` as a chart's axis has room for it; a month as it is."""
        try:
            return str(dates.format_skeleton("Md", datetime.fromisoformat(key), locale=self.locale))
        except ValueError:
            return key

    def ago(self, moment: datetime | None, now: datetime) -> str:
        if moment is None:
            return NONE
        return str(dates.format_timedelta(moment - now, add_direction=True, threshold=0.95, locale=self.locale))
