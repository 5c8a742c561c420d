"""Where the service keeps everybody's agents and runs: a file of its own, or Firestore."""

from __future__ import annotations

from pathlib import Path

from traitlets import Unicode
from traitlets.config import Configurable

from ..errors import InvalidInput
from ..store import AgentStore
from ..store.sqlite import SQLiteStore


class Keeping(Configurable):
    """Where everybody's agents and runs are kept."""

    firestore_project = Unicode(
        help="The Google Cloud project whose Firestore keeps everybody's agents and runs, by the service's own Google "
        "identity. Without one, a SQLite file in the state folder does."
    ).tag(config=True)
    firestore_database = Unicode(
        "(default)", help="Which of that project's Firestore databases; it has to be in Native mode."
    ).tag(config=True)

    def make_store(self, state: Path) -> AgentStore:
        """The store, not open yet. Raises InvalidInput when Firestore is chosen and its client is not installed."""
        if not self.firestore_project:
            return SQLiteStore(state / "agents.db")
        try:
            from ..store.firestore import FirestoreStore
        except ImportError as error:
            raise InvalidInput(
                "Keeping.firestore_project is set, but Firestore's client is not installed: "
                "pip install 'jupyterhub-agents[firestore]'."
            ) from error
        return FirestoreStore(self.firestore_project, database=self.firestore_database)
