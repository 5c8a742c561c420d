"""Calls as CSV, a page at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence

from .answers import CallAnswer
from .ledger import CallRecord

COLUMNS = tuple(CallAnswer.model_fields)


async def csv_lines(pages: AsyncIterator[Sequence[CallRecord]]) -> AsyncIterator[str]:
    """CSV as RFC 4180 has it, with a line of names first."""
    yield _text([COLUMNS])
    async for page in pages:
        if page:
            yield _text([[_cell(value) for value in _values(call)] for call in page])


def _values(call: CallRecord) -> list[object]:
    values = CallAnswer.of(call).model_dump(mode="json") | {"groups": " ".join(call.groups)}
    return [values[name] for name in COLUMNS]


def _cell(value: object) -> object:
    # A spreadsheet would take such a text for a formula (OWASP, "CSV Injection").
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _text(rows: Sequence[Sequence[object]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
