"""The store on one machine: one SQLite file.

store.py        SQLiteStore: the contract's calls
file.py         the file while it is open: the writer and the readers together
writer.py       the one thread that writes, many calls a commit
readers.py      the few threads that read
connection.py   opening the file, and what its failures mean to a person
migrations.py   the schema, from its first version on
agents.py runs.py events.py approvals.py transcripts.py   the SQL of each noun
"""

from .store import SQLiteStore

__all__ = ["SQLiteStore"]
