"""Where the service keeps everybody's agents and runs, and the ledger: in files of its own, or in Firestore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from traitlets import Unicode
from traitlets.config import Configurable

from ..errors import InvalidInput
from ..store import OverviewStore
from ..store.sqlite import SQLiteStore
from .budgets.ledger import Ledger
from .budgets.sqlite import SQLiteLedger


class Keeping(Configurable):
    """Where everybody's agents and runs are kept, and the ledger of budgets and calls with them."""

    firestore_project = Unicode(
        help="The Google Cloud project whose Firestore keeps everybody's agents and runs, and the ledger of budgets "
        "and calls, by the service's own Google identity; several replicas of the service then share it. Without "
        "one, SQLite files in the state folder do."
    ).tag(config=True)
    firestore_database = Unicode(
        "(default)", help="Which of that project's Firestore databases; it has to be in Native mode."
    ).tag(config=True)

    def make_store(self, state: Path) -> OverviewStore:
        """The store, not open yet. Raises InvalidInput when Firestore is chosen and its client is not installed."""
        if not self.firestore_project:
            return SQLiteStore(state / "agents.db")
        with _firestore_installed():
            from ..store.firestore import FirestoreStore
        return FirestoreStore(self.firestore_project, database=self.firestore_database)

    def make_ledger(self, state: Path) -> Ledger:
        """The ledger, not open yet, where the store is. Raises InvalidInput as `make_store` does."""
        if not self.firestore_project:
            return SQLiteLedger(state / "service.db")
        with _firestore_installed():
            from .budgets.firestore import FirestoreLedger
        return FirestoreLedger(self.firestore_project, state, database=self.firestore_database)


@contextmanager
def _firestore_installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InvalidInput(
            "Keeping.firestore_project is set, but Firestore's client is not installed: "
            "pip install 'jupyterhub-agents[firestore]'."
        ) from error
