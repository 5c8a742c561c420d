"""Where each document of the ledger stands, and what is in it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud.firestore_v1 import AsyncClient, AsyncCollectionReference, AsyncDocumentReference

from ....store.firestore.database import Snapshot
from ....store.firestore.layout import digest, spread
from ..ledger import Account, CallRecord, Kind
from ..periods import PeriodKind
from ..reports import record_of, row_of

Settled = tuple[CallRecord, tuple[Account, ...]]
"""A call, and what it counts against."""


QUIET_S = 1.0
"""Firestore takes one write a second to one document, sustained ("Best practices", "Updates to a single document")."""


class Layout:
    """The references of one database. Nothing is below a person: the ledger is the hub's. `quiet_s`: within so many
    seconds no document is written twice."""

    def __init__(self, client: AsyncClient, quiet_s: float = QUIET_S) -> None:
        self._client = client
        self._quiet_s = quiet_s

    def must_wait_s(self, document: Snapshot | None) -> float:
        """Seconds until the document may be written again; by Firestore's own clock, from when it was read."""
        if document is None or document.update_time is None:
            return 0.0
        return self._quiet_s - float((document.read_time - document.update_time).total_seconds())

    def account(self, account: Account) -> AsyncDocumentReference:
        """What is spent and leased of one budget in one period."""
        return self.accounts().document(account_id(account))

    def accounts(self) -> AsyncCollectionReference:
        return self._client.collection("ledger_accounts")

    def sessions(self) -> AsyncCollectionReference:
        return self._client.collection("ledger_sessions")

    def session(self, session: str) -> AsyncDocumentReference:
        return self.sessions().document(session)

    def log(self, session: str) -> AsyncCollectionReference:
        """The calls that were settled in a session, entry by entry, numbered from 0."""
        below: AsyncCollectionReference = self.session(session).collection("ledger_calls")  # The library has no type.
        return below

    def entry(self, session: str, number: int) -> AsyncDocumentReference:
        return self.log(session).document(f"{spread(f'{session}-{number}')}-{number}")

    def table(self) -> AsyncDocumentReference:
        """All budgets that were set."""
        return self._client.collection("ledger_tables").document("budgets")

    def changes(self) -> AsyncCollectionReference:
        return self._client.collection("ledger_changes")

    def days(self) -> AsyncCollectionReference:
        """The sums of days whose calls are pruned."""
        return self._client.collection("ledger_days")


def account_id(account: Account) -> str:
    return digest(*account)


@dataclass(frozen=True)
class Share:
    """What a session has of an account: what it holds, and up to which entry of its log its calls are counted in
    `spent`."""

    held: int
    folded: int


@dataclass(frozen=True)
class Stand:
    """An account's document. `seen` is None while there is none."""

    account: Account
    spent: int
    shares: Mapping[str, Share]
    seen: Snapshot | None

    @classmethod
    def of(cls, account: Account, document: Snapshot | None) -> Stand:
        if document is None:
            return cls(account, 0, {}, None)
        shares = {session: Share(**share) for session, share in document.get("shares").items()}
        return cls(account, document.get("spent"), shares, document)


def stand_fields(account: Account, spent: int, shares: Mapping[str, Share], token: str) -> dict[str, Any]:
    return {
        "kind": account.kind.value, "name": account.name, "period": account.period.value, "key": account.key,
        "spent": spent, "shares": {session: vars(share) for session, share in shares.items()}, "token": token,
    }  # fmt: skip


def pack_calls(calls: Sequence[Settled]) -> bytes:
    rows = [[row_of(call), accounts] for call, accounts in calls]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode())


def unpack_calls(packed: bytes) -> list[Settled]:
    return [
        (record_of(row), tuple(_account(account) for account in accounts))
        for row, accounts in json.loads(zlib.decompress(packed))
    ]


def pack_rows(rows: Sequence[Any]) -> bytes:
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode())


def unpack_rows(packed: bytes) -> list[Any]:
    rows: list[Any] = json.loads(zlib.decompress(packed))
    return rows


def _account(parts: Sequence[str]) -> Account:
    kind, name, period, key = parts
    return Account(Kind(kind), name, PeriodKind(period), key)
