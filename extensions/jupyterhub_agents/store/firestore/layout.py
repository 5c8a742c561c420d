"""Where each document stands. docs/data-model.md draws the whole."""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote, unquote

from google.cloud.firestore_v1 import (
    AsyncClient,
    AsyncCollectionReference,
    AsyncDocumentReference,
)
from google.cloud.firestore_v1.async_query import AsyncCollectionGroup, AsyncQuery

from ...models import Approval, Run, TranscriptKey
from ..paging import microseconds

_MAX_KEY = 1_400
"""Bytes; Firestore takes 1,500 (its "Usage and limits", document ids)."""

SHARES = "shares"

_TIME_OFFSET = 10**17
"""More microseconds than lie between the year 1 and 1970, so that each moment is a positive number."""


class Layout:
    """The references of one database."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._owners: AsyncCollectionReference = client.collection("owners")

    def owners(self) -> AsyncCollectionReference:
        return self._owners

    def all_of(self, collection: str) -> AsyncQuery:
        """The documents of everybody's collections of this name."""
        everybodys: AsyncQuery = self._client.collection_group(collection)
        return everybodys

    def agents(self, owner: str) -> AsyncCollectionReference:
        """The newest revision of each agent, a deleted one's too."""
        return self._of(owner, "agents")

    def revisions(self, owner: str, agent_id: str) -> AsyncCollectionReference:
        return _below(self.agents(owner).document(agent_id), "revisions")

    def shares(self, owner: str) -> AsyncCollectionReference:
        """With whom `owner`'s agents are shared."""
        return self._of(owner, SHARES)

    def share(self, owner: str, agent_id: str, kind: str, name: str) -> AsyncDocumentReference:
        return self.shares(owner).document(f"{spread(name)}-{agent_id}-{digest(kind, name)}")

    def all_shares(self) -> AsyncCollectionGroup:
        """With whom everybody's agents are shared."""
        return self._client.collection_group(SHARES)

    def runs(self, owner: str) -> AsyncCollectionReference:
        """What each run is like now."""
        return self._of(owner, "runs")

    def run(self, owner: str, run_id: str, number: int) -> AsyncDocumentReference:
        """What the run is like since the entry of that number in its log."""
        return self.runs(owner).document(f"{spread(run_id)}-{run_id}-{number}")

    def log(self, owner: str, run_id: str) -> AsyncCollectionReference:
        """What was written to a run, entry by entry."""
        return _below(self._of(owner, "logs").document(run_id), "chunks")

    def entry(self, owner: str, run_id: str, number: int) -> AsyncDocumentReference:
        return self.log(owner, run_id).document(f"{spread(f'{run_id}-{number}')}-{number}")

    def approvals(self, owner: str) -> AsyncCollectionReference:
        return self._of(owner, "approvals")

    def approval(self, owner: str, approval_id: str) -> AsyncDocumentReference:
        return self.approvals(owner).document(f"{spread(approval_id)}-{approval_id}")

    def transcripts(self, owner: str) -> AsyncCollectionReference:
        """What transcripts there are."""
        return self._of(owner, "transcripts")

    def transcript(self, owner: str, key: TranscriptKey) -> AsyncDocumentReference:
        return self.transcripts(owner).document(digest(key.project_key, key.session_id, key.subpath))

    def transcript_log(self, owner: str, token: str) -> AsyncCollectionReference:
        """The entries of the transcript that was begun with that token."""
        return _below(self._of(owner, "transcript_logs").document(token), "chunks")

    def transcript_chunk(self, owner: str, token: str, number: int) -> AsyncDocumentReference:
        return self.transcript_log(owner, token).document(f"{spread(f'{token}-{number}')}-{number}")

    def part(self, owner: str, token: str, number: int) -> AsyncDocumentReference:
        """A piece of a text that is too long for the document that it belongs to."""
        return self._of(owner, "parts").document(f"{token}-{number}")

    def _of(self, owner: str, collection: str) -> AsyncCollectionReference:
        return _below(self._owners.document(owner_key(owner)), collection)


def _below(document: AsyncDocumentReference, collection: str) -> AsyncCollectionReference:
    # The library declares no type for it.
    below: AsyncCollectionReference = document.collection(collection)
    return below


def owner_key(owner: str) -> str:
    """A document id for a person: readable where it can be, and no id that Firestore refuses ('.', '..', '__x__', one
    with '/')."""
    readable = f"u:{quote(owner, safe='@')}"
    if len(readable) <= _MAX_KEY:
        return readable
    return f"b:{urlsafe_b64encode(owner.encode()).decode()}"


def owner_of(key: str) -> str:
    """The inverse of `owner_key`."""
    kind, _, rest = key.partition(":")
    return unquote(rest) if kind == "u" else urlsafe_b64decode(rest).decode()


def spread(name: str) -> str:
    """A prefix that keeps names which come one after the other from standing side by side, where they would all be
    written by one server ("hotspots" in Firestore's best practices)."""
    return hashlib.sha256(name.encode()).hexdigest()[:6]


def digest(*texts: str) -> str:
    """A name for texts of any length and letters."""
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode()).hexdigest()[:40]


def new_token() -> str:
    """Tells one write from another of the same content."""
    return secrets.token_hex(12)


def sort_key(micros: int, item_id: str) -> str:
    """Sorts as text like `(micros, item_id)` does."""
    return f"{max(micros + _TIME_OFFSET, 0):018d}.{item_id}"


def sort_key_of(item: Run | Approval) -> str:
    return sort_key(microseconds(item.created_at), item.id)
