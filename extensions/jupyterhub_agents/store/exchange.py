"""The file that carries everything of one person: JSON lines, with a header, and an end that proves it whole.

Each line is `{"kind": ..., "value": ...}`:

    header       format, version, owner, created_at
    agent        id, revisions (how many), deleted; followed by its
      revision     an agent as stored
      share        with whom it is shared (since version 2)
    run          followed by its
      event
      approval
    transcript   project_key, session_id, subpath; followed by its
      entry        as Claude Code wrote it
    end          counts by kind, and sha256

Values are the nouns of `models` as JSON, without their owner: a person may have another name elsewhere. The digest is
SHA-256 over `["kind",value]` and a newline for each line between header and end, as JSON in UTF-8 with sorted keys and
no spaces. Everything here blocks: it is for a thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import AwareDatetime, Field, ValidationError

from ..errors import InvalidInput
from ..models import Agent, AgentId, Approval, Event, Model, Run, Share, TranscriptKey

VERSION: Final = 2
READ: Final = (1, 2)
"""The versions that can be read. In version 1 there are no shares, and no runs of others' agents."""

BATCH_LINES = 500
BATCH_BYTES = 1 << 20
"""How much is read or written at once."""


class Header(Model):
    format: Literal["jupyterhub-agents export"] = "jupyterhub-agents export"
    version: Literal[1, 2] = 2
    owner: str = Field(description="Whose things these were.")
    created_at: AwareDatetime


class AgentHead(Model):
    """What stands before an agent's revisions."""

    id: AgentId
    revisions: int = Field(ge=1, description="How many follow, numbered from 1.")
    deleted: bool


class Counts(Model):
    """How many there are of each kind."""

    agent: int = 0
    revision: int = 0
    share: int = 0
    run: int = 0
    event: int = 0
    approval: int = 0
    transcript: int = 0
    entry: int = 0


class End(Model):
    counts: Counts
    sha256: str


Entry = dict[str, Any]
Single = AgentHead | Agent | Share | Run | Approval | TranscriptKey
Item = Single | Event | Entry
"""What stands between header and end."""

_MODELS: dict[str, type[Single | Event]] = {
    "agent": AgentHead, "revision": Agent, "share": Share, "run": Run, "event": Event, "approval": Approval,
    "transcript": TranscriptKey,
}  # fmt: skip
_KINDS = {cls: kind for kind, cls in _MODELS.items()}
_OWNED = ("revision", "share", "run", "approval")


class Tally:
    """Counts items, and makes their digest."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Counts.model_fields, 0)
        self._digest = hashlib.sha256()

    def add(self, kind: str, value: Any) -> None:
        self._counts[kind] += 1
        self._digest.update(
            json.dumps([kind, value], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        )
        self._digest.update(b"\n")

    def add_items(self, items: Iterable[Item]) -> None:
        for item in items:
            self.add(*_record(item))

    @property
    def counts(self) -> Counts:
        return Counts(**self._counts)

    @property
    def end(self) -> End:
        return End(counts=self.counts, sha256=self._digest.hexdigest())


class Writer:
    """Writes the file, which only its owner may read and which has its name only when it is whole."""

    def __init__(self, path: Path) -> None:
        self.tally = Tally()
        self._path = path
        self._part: Path | None = None

    def open(self, owner: str, now: datetime) -> None:
        """Raises InvalidInput when there is a file of that name, OSError when none can be made."""
        if self._path.exists():
            raise InvalidInput(f"{self._path} exists already: name another file, or move this one away.")
        descriptor, name = tempfile.mkstemp(prefix=f"{self._path.name}.", suffix=".part", dir=self._path.parent)
        self._part = Path(name)
        self._file = os.fdopen(descriptor, "wb")
        self._line("header", Header(owner=owner, created_at=now).model_dump(mode="json"))

    def write(self, items: Iterable[Item]) -> None:
        for item in items:
            kind, value = _record(item)
            self.tally.add(kind, value)
            self._line(kind, value)

    def finish(self) -> End:
        """Write the end, and give the file its name."""
        end = self.tally.end
        self._line("end", end.model_dump(mode="json"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._part is not None:
            self._part.replace(self._path)
            self._part = None
        return end

    def discard(self) -> None:
        """Take away what is not whole. After `finish` there is nothing to take away."""
        if self._part is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)
            self._part = None

    def _line(self, kind: str, value: Any) -> None:
        self._file.write(json.dumps({"kind": kind, "value": value}, ensure_ascii=False).encode() + b"\n")


def owner_of(path: Path) -> str:
    """Whose things were exported to a file. Raises InvalidInput, OSError."""
    with path.open("rb") as file:
        return _header(path, _lines(path, file)).owner


def read(path: Path, owner: str, tally: Tally) -> Generator[list[Item]]:
    """The items of a file as `owner`'s, some at a time, counted in `tally`. Raises InvalidInput, at the latest at the
    end, for a file that is not whole and unaltered; OSError when it cannot be read."""
    with path.open("rb") as file:
        lines = _lines(path, file)
        _header(path, lines)
        batch: list[Item] = []
        size = 0
        for number, length, kind, value in lines:
            if kind == "end":
                if batch:
                    yield batch
                _check_end(path, value, tally)
                if file.read(1):
                    raise InvalidInput(f"{path} goes on after its end: it was altered. {_ADVICE}")
                return
            try:
                batch.append(_item(kind, value, owner))
                tally.add(kind, value)
            except (ValidationError, UnicodeError, KeyError, TypeError) as error:
                raise _damaged(path, number) from error
            size += length
            if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    raise InvalidInput(f"{path} is cut short: its last line is not its end. {_ADVICE}")


_ADVICE = "Copy or export it again; nothing of it can be trusted to be whole."


def _lines(path: Path, file: Iterable[bytes]) -> Iterator[tuple[int, int, str, Any]]:
    for number, line in enumerate(file, 1):
        try:
            record = json.loads(line)
            kind, value = record["kind"], record["value"]
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            if not line.endswith(b"\n"):
                raise InvalidInput(f"{path} is cut short: line {number} breaks off. {_ADVICE}") from error
            raise _damaged(path, number) from error
        yield number, len(line), kind, value


def _header(path: Path, lines: Iterator[tuple[int, int, str, Any]]) -> Header:
    try:
        _, _, kind, value = next(lines)
        if kind != "header" or value["format"] != Header.model_fields["format"].default:
            raise KeyError
    except (StopIteration, InvalidInput, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is no export of jupyterhub-agents: its first line is not the header.") from error
    if value.get("version") not in READ:
        raise InvalidInput(
            f"{path} is an export in format {value.get('version')!r}, and this version of jupyterhub-agents knows "
            f"formats up to {VERSION}: upgrade jupyterhub-agents, or export again with this version."
        )
    try:
        return Header.model_validate(value)
    except ValidationError as error:
        raise _damaged(path, 1) from error


def _check_end(path: Path, value: Any, tally: Tally) -> None:
    try:
        end = End.model_validate(value)
    except ValidationError as error:
        raise InvalidInput(
            f"{path} was altered: its last line is not the end that an export writes. {_ADVICE}"
        ) from error
    if end.counts != tally.counts:
        wrong = [
            f"{getattr(tally.counts, kind)} of kind {kind!r} instead of {number}"
            for kind, number in end.counts
            if getattr(tally.counts, kind) != number
        ]
        raise InvalidInput(f"{path} was altered: it has {', '.join(wrong)}. {_ADVICE}")
    if end.sha256 != tally.end.sha256:
        raise InvalidInput(
            f"{path} was altered: its content does not have the digest that its last line says. {_ADVICE}"
        )


def grouped(items: Iterable[Item]) -> Iterator[Single | list[Event] | list[Entry]]:
    """Items as they are stored: events of one run that follow each other, and entries, as lists."""
    events: list[Event] = []
    entries: list[Entry] = []
    for item in items:
        if events and not (isinstance(item, Event) and item.run_id == events[0].run_id):
            yield events
            events = []
        if entries and not isinstance(item, dict):
            yield entries
            entries = []
        if isinstance(item, Event):
            events.append(item)
        elif isinstance(item, dict):
            entries.append(item)
        else:
            yield item
    if events:
        yield events
    if entries:
        yield entries


def _record(item: Item) -> tuple[str, Any]:
    if isinstance(item, dict):
        return "entry", item
    value = item.model_dump(mode="json", exclude={"owner"})
    if value.get("agent_owner", "") is None:
        # Files of version 1 have no such field: their digest stays true.
        del value["agent_owner"]
    return _KINDS[type(item)], value


def _item(kind: str, value: Any, owner: str) -> Item:
    if kind == "entry":
        if not isinstance(value, dict):
            raise TypeError
        return value
    return _MODELS[kind].model_validate({**value, "owner": owner} if kind in _OWNED else value)


def _damaged(path: Path, number: int) -> InvalidInput:
    return InvalidInput(f"{path} was altered or damaged: line {number} is not what an export writes. {_ADVICE}")
