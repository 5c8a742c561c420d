"""What may be asked of agents, runs, events and approvals, and how a wrong question is refused: by a workspace, and by
the front door in its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from .errors import InvalidInput
from .models import Event, Model, Run, RunStatus

M = TypeVar("M", bound=BaseModel)


class ListQuery(Model):
    limit: int = Field(default=100, ge=1, le=1000)
    after: str | None = Field(default=None, max_length=200)


class RevisionQuery(Model):
    revision: int | None = Field(default=None, ge=1)


class RevisionsQuery(Model):
    limit: int = Field(default=100, ge=1, le=1000)
    before: str | None = Field(default=None, max_length=200)


class AgentRunsQuery(Model):
    limit: int = Field(default=50, ge=1, le=1000)
    before: str | None = Field(default=None, max_length=200)
    status: list[RunStatus] | None = Field(default=None, description="May be given several times.")
    conversation: str | None = Field(default=None, max_length=100)


class RunsQuery(AgentRunsQuery):
    agent: str | None = Field(default=None, max_length=400, description="An id; of another person's agent OWNER/ID.")


class EventsQuery(Model):
    after: int = Field(default=0, ge=0, description="Give events with a higher number than this.")
    limit: int = Field(default=500, ge=1, le=1000, description="At most so many, in a JSON page.")


class EventsPage(Model):
    items: list[Event]
    next: int | None = Field(description="The `after` of the next page; none when the run has ended and this was all.")
    run: Run

    @classmethod
    def of(cls, run: Run, events: list[Event], after: int) -> EventsPage:
        """The page with the events after number `after`."""
        last = events[-1].seq if events else after
        ended = run.status.is_final and last >= run.last_seq
        return cls.model_construct(items=events, next=None if ended else last, run=run)


class ApprovalsQuery(Model):
    limit: int = Field(default=50, ge=1, le=1000)
    before: str | None = Field(default=None, max_length=200)
    run: str | None = Field(default=None, max_length=100)
    waiting: bool | None = Field(default=None, description="Only those that wait, or with false only the others.")


class Empty(Model):
    """A request without a body or a query."""


def asked(model: type[M], pairs: Iterable[tuple[str, str]]) -> M:
    """A query's arguments as a `model`. Raises InvalidInput for unknown or wrong ones."""
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)

    def of(name: str) -> Any:
        field = model.model_fields.get(name)
        many = field is not None and "list" in str(field.annotation)
        return values[name] if many else values[name][-1]

    return validated(model, {name: of(name) for name in values})


def validated(model: type[M], data: Mapping[str, Any]) -> M:
    """`data` as a `model`. Raises InvalidInput with a message for people."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid(error) from error


def invalid(error: ValidationError) -> InvalidInput:
    """What is wrong with a request: each field, its value, and what is taken."""
    lines = []
    for problem in error.errors(include_url=False)[:10]:
        where = ".".join(str(part) for part in problem["loc"]) or "the body"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{where}: there is no such field; leave it out")
            continue
        what = problem["msg"].removeprefix("Value error, ")
        what = what[:1].lower() + what[1:]
        given = "" if problem["type"] in ("missing", "value_error") else f" (it is {shortened(problem['input'])})"
        lines.append(f"{where}: {what}{given}")
    return InvalidInput("; ".join(lines) + ".")


def shortened(value: Any) -> str:
    """A value for a message: JSON, of a length that can be read."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = str(type(value).__name__)
    text = re.sub(r"\s+", " ", text)
    return text if len(text) <= 60 else f"{text[:50]}... of {len(text)} characters"


def revision_number(text: str) -> int:
    """The revision that a path names. Raises InvalidInput for one that no store could hold."""
    number = int(text)
    if not 1 <= number < 2**31:
        raise InvalidInput(f"There is no revision {text[:20]}: they count from 1.")
    return number
