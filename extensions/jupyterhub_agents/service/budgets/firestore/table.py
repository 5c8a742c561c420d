"""The budgets that were set, in one document, and who changed them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from google.cloud.firestore_v1.base_query import FieldFilter

from ....store.firestore.database import (
    ATTEMPTS,
    ConflictingCommit,
    Create,
    Database,
    Replace,
    Snapshot,
    too_many_conflicts,
)
from ....store.firestore.layout import new_token
from ....store.paging import microseconds, moment
from ..ledger import Budget, BudgetTable, Change, Kind
from .layout import Layout


def budgets_of(document: Snapshot | None) -> Mapping[str, Budget]:
    """By `kind:name`. One document holds some 10,000 of them."""
    if document is None:
        return {}
    return {key: Budget(*amounts) for key, amounts in json.loads(document.get("budgets")).items()}


async def read(database: Database, layout: Layout, known: int) -> BudgetTable | None:
    document = await database.get(layout.table())
    version = 0 if document is None else document.get("version")
    if version == known:
        return None
    budgets = {}
    for key, budget in budgets_of(document).items():
        kind, _, name = key.partition(":")
        budgets[Kind(kind), name] = budget
    return BudgetTable(version, budgets)


async def change(
    database: Database, layout: Layout, kind: Kind, name: str, budget: Budget | None, by: str, at: datetime
) -> None:
    for _ in range(ATTEMPTS):
        document = await database.get(layout.table())
        if (wait := layout.must_wait_s(document)) > 0:
            await asyncio.sleep(wait)
            continue
        budgets = {key: [one.day, one.month] for key, one in budgets_of(document).items()}
        before = budgets.pop(f"{kind}:{name}", None)
        after = None
        if budget is not None:
            after = budgets[f"{kind}:{name}"] = [budget.day, budget.month]
        version = 1 if document is None else document.get("version") + 1
        text, token = json.dumps(budgets), new_token()
        fields = {"version": version, "budgets": text, "token": token}
        table = layout.table()
        note = {
            "number": version, "at": microseconds(at), "by": by, "kind": kind.value, "name": name,
            "before": before, "after": after, "token": token,
        }  # fmt: skip
        try:
            await database.commit(
                [
                    Create(table, fields, size=len(text))
                    if document is None
                    else Replace(table, fields, document.update_time, size=len(text)),
                    Create(layout.changes().document(token), note),
                ]
            )
        except ConflictingCommit:
            continue
        return
    raise too_many_conflicts("the budgets")


async def changes(
    database: Database, layout: Layout, limit: int, before: int | None
) -> tuple[Sequence[Change], str | None]:
    query = layout.changes().order_by("number", direction="DESCENDING").limit(limit + 1)
    if before is not None:
        query = query.where(filter=FieldFilter("number", "<", before))
    found = await database.query(query)
    more = len(found) > limit
    found = found[:limit]
    return [_change(document) for document in found], str(found[-1].get("number")) if more else None


def _change(document: Snapshot) -> Change:
    before, after = document.get("before"), document.get("after")
    return Change(
        moment(document.get("at")), document.get("by"), Kind(document.get("kind")), document.get("name"),
        None if before is None else Budget(*before), None if after is None else Budget(*after),
    )  # fmt: skip
