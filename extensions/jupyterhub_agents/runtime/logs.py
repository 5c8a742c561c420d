"""Log records that say which run and whose it is: ids and figures as fields, never what people or models wrote.

`about(run)` puts a run's ids on every record that is made within it, also in the tasks that are started there.
`install(logger, style)` has a server's log show the fields: as `key=value` at the end of a line, or as JSON.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from ..models import Run

OURS = "jupyterhub_agents"
SDK = "claude_agent_sdk"

_run: ContextVar[Mapping[str, str]] = ContextVar("run")

_IDS = ("run_id", "owner", "agent_id")

_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color", "end_color"}
"""What logging itself, and the formatters of traitlets and Tornado, keep in a record."""


@contextmanager
def about(run: Run) -> Iterator[None]:
    """What is logged within is about this run."""
    token = _run.set(dict(zip(_IDS, (run.id, run.owner, run.agent), strict=True)))
    try:
        yield
    finally:
        _run.reset(token)


def failed(log: logging.Logger, message: str, error: BaseException) -> None:
    """Log an error that nobody expected, with the places it came through. Its own words may be a person's, or a secret:
    they are told at the level DEBUG."""
    places = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    log.error("%s: %s\n%s", message, type(error).__name__, places)
    log.debug("%s: %s", type(error).__name__, error)


def add_run(record: logging.LogRecord) -> bool:
    """A filter that lets everything pass, and adds the run's ids."""
    for name, value in _run.get({}).items():
        if name not in vars(record):
            setattr(record, name, value)
    return True


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given to the record beside its message, the run's ids first."""
    given = {name: value for name, value in vars(record).items() if name not in _OWN}
    return {name: given[name] for name in (*_IDS, *given) if name in given}


class TextFormatter(logging.Formatter):
    """Another formatter's line, with the fields at the end of its first line."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        told = "".join(f" {name}={_value(value)}" for name, value in fields(record).items())
        first, newline, rest = self._inner.format(record).partition("\n")
        return f"{first}{told}{newline}{rest}"


def _value(value: object) -> str:
    """A value that is one word, as it is; any other as JSON, so that nobody can write a line of their own."""
    if value is None:
        return "-"
    text = str(value)
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "=')
    return text if text and plain else json.dumps(text)


def json_formatter() -> logging.Formatter:
    """Each record as an object with time, level, logger, message and the fields."""
    return JsonFormatter(
        "{levelname}{name}{message}",
        style="{",
        timestamp="time",
        rename_fields={"levelname": "level", "name": "logger"},
        reserved_attrs=sorted(_OWN),
    )


def install(server: logging.Logger, style: str) -> None:
    """Have our records go where `server`'s go, at its level, and all that it shows in this style: `text`, or
    `json` with one object a line."""
    for handler in server.handlers:
        if add_run not in handler.filters:
            handler.addFilter(add_run)
            handler.setFormatter(json_formatter() if style == "json" else TextFormatter(handler.formatter))
    # As Jupyter Server does with Tornado's: its own log has no part in the tree of names.
    for name in (OURS, SDK):
        logging.getLogger(name).parent = server
    # The SDK's errors hold what the CLI wrote. People get them as the errors of their runs.
    logging.getLogger(SDK).setLevel(logging.DEBUG if server.isEnabledFor(logging.DEBUG) else logging.CRITICAL)
