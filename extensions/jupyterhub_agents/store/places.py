"""Which store somebody means: `sqlite:PATH` or `firestore:PROJECT[/DATABASE]`."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidInput
from .base import AgentStore

FORMS = "sqlite:PATH or firestore:PROJECT[/DATABASE]"


def store_at(place: str, *, must_exist: bool = False) -> AgentStore:
    """The store at `place`, not open yet. With `must_exist` a database file that is not there is an error; else it is
    made when the store is opened. Raises InvalidInput."""
    kind, _, rest = place.partition(":")
    if kind == "sqlite" and rest:
        path = Path(rest).expanduser()
        if must_exist and not path.is_file():
            raise InvalidInput(f"There is no file {path}, so nothing can be read from {place}: check the path.")
        from .sqlite import SQLiteStore

        return SQLiteStore(path)
    project, slash, database = rest.partition("/")
    if kind == "firestore" and project and bool(database) == bool(slash) and "/" not in database:
        try:
            from .firestore import FirestoreStore
        except ImportError as error:
            raise InvalidInput(
                f"{place} needs Google's library: pip install 'jupyterhub-agents[firestore]' ({error})."
            ) from error
        return FirestoreStore(project, database=database or "(default)")
    raise InvalidInput(f"{place!r} names no store: write {FORMS}.")
