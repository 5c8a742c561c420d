"""Somebody who follows a run through the front door, and connects again where they were when the connection is lost."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx

from jupyterhub_agents.client.follow import SILENCE_S
from tests.cluster.site import Site
from tests.hub.door import Door
from tests.hub.people import Person, eventually

LIMIT_S = 180


class Reader:
    """Reads from number 1 on, beside the test. Use it in a `with`."""

    def __init__(self, site: Site, person: Person, run: str) -> None:
        self.numbers: list[int] = []
        """Of the events, in the order in which they came, repeats and all."""
        self.connections = 0
        self.end = ""
        """The run's status when the stream said that it is over."""
        self._door = Door(site, person.name, person.token)  # type: ignore[arg-type]  # it has the address that this needs
        self._path = f"api/runs/{run}/events"
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join(timeout=LIMIT_S)
        self._door.http.close()

    def _read(self) -> None:
        while not self._left.is_set() and not self.end:
            with suppress(httpx.HTTPError, AssertionError):
                self._connection()
            self._left.wait(0.5)

    def _connection(self) -> None:
        headers = {"Accept": "text/event-stream"}
        if self.numbers:
            headers["Last-Event-ID"] = str(self.numbers[-1])
        # A connection whose other end is gone says nothing, not even its signs of life.
        told_so_far = self._door.stream("GET", self._path, headers=headers, timeout=SILENCE_S)
        for count, (kind, told, number) in enumerate(told_so_far):
            self.connections += count == 0
            if kind == "event":
                self.numbers.append(int(number))
            elif kind == "end":
                self.end = told["status"]
            if self._left.is_set() or self.end:
                return

    def read_to_the_end(self) -> str:
        """The status of the run in the end."""
        return eventually(lambda: self.end, within=LIMIT_S, what="the stream comes to its end")
