"""Calls as CSV, a page at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence

from .answers import AgentAnswer, CallAnswer
from .ledger import AgentSum, CallRecord

COLUMNS = tuple(CallAnswer.model_fields)


async def csv_lines(pages: AsyncIterator[Sequence[CallRecord]]) -> AsyncIterator[str]:
    """CSV as RFC 4180 has it, with a line of names first."""
    yield _text([COLUMNS])
    async for page in pages:
        if page:
            yield _text([[_cell(value) for value in _values(call)] for call in page])


def agents_csv(rows: Sequence[AgentSum]) -> str:
    """What each agent used, a line each."""
    names = tuple(AgentAnswer.model_fields)
    found = [AgentAnswer.of(row).model_dump(mode="json") for row in rows]
    return _text([names]) + _text([[_cell(row[name]) for name in names] for row in found])


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
