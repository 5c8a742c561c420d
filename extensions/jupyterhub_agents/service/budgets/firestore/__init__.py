"""The ledger of several replicas: Firestore.

ledger.py    FirestoreLedger: the contract's calls, and what goes on in the background
sessions.py  who is alive: one document for each time that a replica keeps books
log.py       a session's calls, in documents that are written once: one commit for those that settle together
accounts.py  what is spent and leased of each account
burying.py   what a session that died has spent is counted, and what it held returns
copy.py      a copy in a SQLite file, which reports are read from
pruning.py   old calls go, their sums stay
table.py     the budgets, and who changed them
layout.py    where each document stands, and what is in it

docs/budgets.md explains what is durable when, and what it costs.
"""

from .ledger import FirestoreLedger

__all__ = ["FirestoreLedger"]
