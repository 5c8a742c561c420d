"""The store of a workspace: on its home volume first, then in the hub's service.

store.py        ReplicatedStore: the contract's calls, and what is read from where
local.py        the SQLite file of the home, each change noted in the outbox in the same commit
outbox.py       the outbox, in SQL
mirror.py       the agents of the service as last seen, in SQL
replicator.py   takes what is in the outbox to the service
sending.py      how each kind of thing is brought to the service
merging.py      pages of what is here and what is there, as one list
"""

from .outbox import Lag
from .store import ReplicatedStore

__all__ = ["Lag", "ReplicatedStore"]
