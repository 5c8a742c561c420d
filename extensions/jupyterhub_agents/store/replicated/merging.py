"""Pages of what is here and what is in the service, as one list, newest first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Generic, Protocol, TypeVar

from ...models import Approval, Page, Run
from .. import paging
from ..base import MAX_PAGE
from ..paging import microseconds, time_cursor

T = TypeVar("T", Run, Approval)

AreHere = Callable[[Collection[str]], Awaitable[set[str]]]
"""Which of some ids are of things that are here, whatever the list is filtered by."""


class PageOf(Protocol[T]):
    async def __call__(self, *, limit: int, before: str | None) -> Page[T]: ...


class _Reading(Generic[T]):
    """A list, item by item."""

    def __init__(self, call: PageOf[T], limit: int, before: str | None, hidden: AreHere | None) -> None:
        self._call: PageOf[T] = call
        self._limit = limit
        self._cursor = before
        self._hidden = hidden
        self._items: list[T] = []
        self._more = True

    async def peek(self) -> T | None:
        while not self._items and self._more:
            page = await self._call(limit=self._limit, before=self._cursor)
            hidden = await self._hidden([item.id for item in page.items]) if self._hidden and page.items else set()
            # The last first, to be taken off the end.
            self._items = [item for item in reversed(page.items) if item.id not in hidden]
            self._cursor = page.next
            self._more = page.next is not None
        return self._items[-1] if self._items else None

    def take(self) -> T:
        return self._items.pop()


async def merged(here: PageOf[T], there: PageOf[T], are_here: AreHere, *, limit: int, before: str | None) -> Page[T]:
    """A page of both. What is here counts as it is here, also when the service has another state of it. Raises what
    `there` raises."""
    paging.check_limit(limit)
    size = min(limit + 1, MAX_PAGE)
    own, other = _Reading(here, size, before, None), _Reading(there, size, before, are_here)
    items: list[T] = []
    while len(items) <= limit:
        first, second = await own.peek(), await other.peek()
        if first is None and second is None:
            return Page[T](items=items)
        if second is None or (first is not None and _order(first) > _order(second)):
            items.append(own.take())
        else:
            items.append(other.take())
    return Page[T](items=items[:limit], next=time_cursor(items[limit - 1]))


def _order(item: Run | Approval) -> tuple[int, str]:
    return microseconds(item.created_at), item.id
