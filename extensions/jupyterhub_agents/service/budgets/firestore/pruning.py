"""Old calls go, their sums stay."""

from __future__ import annotations

import contextlib

from google.cloud.firestore_v1.async_query import AsyncQuery
from google.cloud.firestore_v1.base_query import FieldFilter

from ....store.firestore.database import MAX_COMMIT_WRITES, ConflictingCommit, Create, Database, Delete
from ....store.firestore.layout import new_token
from .. import books
from .copy import Copy
from .layout import Layout, pack_rows

_ROWS = 5_000
"""Sums in one document."""
_PRUNED_AT_ONCE = 2_000


async def prune(database: Database, layout: Layout, copy: Copy, before: str) -> int:
    """Drop the calls of days before `before`, here and in Firestore. Every replica does it, each with the same outcome:
    the sums are written once, and what is deleted is deleted."""
    days = await copy.read(lambda db: books.days_before(db, before), old_s=0.0)
    for day in days:
        runs, sums = await copy.read(lambda db, day=day: books.sums_of(db, day))  # type: ignore[misc]  # The default binds.
        parts = [sums[start : start + _ROWS] for start in range(0, len(sums), _ROWS)]
        token = new_token()
        writes = []
        for number, part in enumerate(parts):
            packed = pack_rows(part)
            fields = {"day": day, "runs": runs, "rows": packed, "token": token}
            writes.append(Create(layout.days().document(f"{day}-{number}"), fields, size=len(packed)))
        # Another replica that was here wrote the same sums, because no call comes to a day so old.
        with contextlib.suppress(ConflictingCommit):
            await database.commit(writes)
    copy.forget(days)
    dropped = 0
    while gone := await copy.write(lambda db: books.prune(db, before, _PRUNED_AT_ONCE)):
        dropped += gone
    for session in await database.query(layout.sessions().select(["open"])):
        log = layout.log(session.id)
        await _delete(database, log.where(filter=FieldFilter("last_day", "<", before)).select(["number"]))
        # The newest entry of a session that lives says where it goes on.
        if not session.get("open") and not await database.query(log.select(["number"]).limit(1)):
            await database.commit([Delete(layout.session(session.id))])
    # Months and days alike: what sorts before the month is over.
    await _delete(database, layout.accounts().where(filter=FieldFilter("key", "<", before[:7])).select(["key"]))
    return dropped


async def _delete(database: Database, query: AsyncQuery) -> None:
    while found := await database.query(query.limit(MAX_COMMIT_WRITES)):
        await database.commit([Delete(document.reference) for document in found])
