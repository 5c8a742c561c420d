"""The store of a site: Firestore.

store.py        FirestoreStore: the contract's calls
agents.py runs.py events.py approvals.py transcripts.py   the documents of each noun
log.py          a run's writer: one commit for the calls that wait, and no read on the way
layout.py       where each document stands
packing.py      texts of any length, in documents of limited size
database.py     reading and committing, with limits on time and size
connection.py   the client and its channel
failures.py     what Firestore's errors mean to a person

docs/data-model.md explains the layout and what it costs.
"""

from .connection import connect
from .store import FirestoreStore

__all__ = ["FirestoreStore", "connect"]
