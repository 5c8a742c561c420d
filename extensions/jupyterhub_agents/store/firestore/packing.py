"""Texts of any length, in documents of limited size: inside the document where they fit, else in parts beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import StoreUnavailable
from .database import MAX_DOCUMENT_BYTES, Create, Database
from .layout import Layout, new_token

PART_BYTES = MAX_DOCUMENT_BYTES - 20_000

ARRAY_ITEMS = 400
ARRAY_BYTES = 800_000

_INLINE_BYTES = 2_500_000

Value = str | dict[str, Any]
"""What stands in a document's field: the text, or `{"parts": how many, "token": whose}`."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A text as it is stored."""

    value: Value
    parts: tuple[Create, ...] = ()

    @property
    def size(self) -> int:
        """Bytes within the document."""
        return len(self.value.encode()) if isinstance(self.value, str) else 0


def pack(layout: Layout, owner: str, text: str, room: int) -> Packed:
    """`text`, for a document of `owner`'s that has `room` bytes for it."""
    data = text.encode()
    if len(data) <= room:
        return Packed(text)
    token = new_token()
    parts = tuple(
        Create(layout.part(owner, token, number), {"text": piece.decode(), "token": token}, size=len(piece))
        for number, piece in enumerate(_pieces(data))
    )
    return Packed({"parts": len(parts), "token": token}, parts)


async def unpack(database: Database, owner: str, values: Sequence[Value]) -> list[str]:
    """The texts. Reads only what stands in parts."""
    refs = [
        database.layout.part(owner, value["token"], number)
        for value in values
        if not isinstance(value, str)
        for number in range(value["parts"])
    ]
    parts = await database.get_all(refs) if refs else {}
    if len(parts) < len(refs):
        missing = next(ref for ref in refs if ref.id not in parts)
        raise StoreUnavailable(
            f"The document {missing.path} is missing, and with it a piece of what was stored: restore it from a "
            "backup of the database."
        )
    return [
        value
        if isinstance(value, str)
        else "".join(parts[f"{value['token']}-{number}"].get("text") for number in range(value["parts"]))
        for value in values
    ]


def arrays(items: Sequence[str]) -> Iterator[tuple[int, str]]:
    """`(how many, JSON array)` of the groups that each fit into one document. `items` are JSON; a single one that is
    larger than ARRAY_BYTES gets an array of its own, which is then packed in parts."""
    group: list[str] = []
    size = 0
    for item in items:
        length = len(item.encode()) + 1
        if group and (len(group) == ARRAY_ITEMS or size + length > ARRAY_BYTES):
            yield len(group), f"[{','.join(group)}]"
            group, size = [], 0
        group.append(item)
        size += length
    if group:
        yield len(group), f"[{','.join(group)}]"


def pack_arrays(layout: Layout, owner: str, texts: Sequence[str]) -> list[Packed]:
    """Arrays, for a document each, of one commit. Where they are too much for it all are in parts, which are written
    before, so that the commit which shows them stays small."""
    inline = sum(map(len, texts)) <= _INLINE_BYTES
    return [pack(layout, owner, text, ARRAY_BYTES + 2 if inline else 0) for text in texts]


def _pieces(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = min(start + PART_BYTES, len(data))
        # Not within a character: its bytes after the first are 0b10xxxxxx.
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end
