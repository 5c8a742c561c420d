"""What an error of Firestore's, or a text that it cannot hold, means to a person."""

from __future__ import annotations

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from pydantic_core import PydanticSerializationError

from ...errors import InvalidInput, StoreUnavailable

PASSING = (
    exceptions.ServiceUnavailable,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.Aborted,
    exceptions.ResourceExhausted,
    exceptions.Unknown,
)
"""Errors after which the same call may succeed. It is not known whether it was carried out."""

CONFLICTS = (exceptions.AlreadyExists, exceptions.FailedPrecondition)
"""What a commit raises whose condition does not hold; `Aborted`, its subclass of Conflict, is a passing one."""


def explain(place: str, error: BaseException) -> BaseException:
    """The error a caller gets: which database (`place`), what is wrong, what to do. A fault of this program stays."""
    meaning = _meaning(error)
    if meaning is not None:
        return StoreUnavailable(f"{place} {meaning}")
    if isinstance(error, UnicodeEncodeError | PydanticSerializationError):
        # A Python string can hold half of a surrogate pair (U+D800 to U+DFFF); UTF-8, and so Firestore, cannot.
        return InvalidInput(f"This is not text that can be stored: {error}. Replace the broken characters.")
    return error


def _meaning(error: BaseException) -> str | None:
    said = f"(Firestore says: {getattr(error, 'message', None) or error})"
    if isinstance(error, exceptions.ResourceExhausted):
        return f"refuses more: a quota of the project is used up. Raise it, or wait until it begins anew. {said}"
    if isinstance(error, PASSING):
        return (
            "does not answer. Check the network, and https://status.cloud.google.com for an outage; what waits goes "
            f"on by itself when it is back. {said}"
        )
    if isinstance(error, exceptions.Forbidden):
        return f"may not be used by this identity: give it the role roles/datastore.user in the project. {said}"
    if isinstance(error, exceptions.Unauthorized | GoogleAuthError):
        return (
            "could not be opened: there are no valid credentials. Run with a service account that has the role "
            f"roles/datastore.user, or `gcloud auth application-default login`. {said}"
        )
    if isinstance(error, exceptions.NotFound):
        return f"is not there: create it (`gcloud firestore databases create`), or name another. {said}"
    if isinstance(error, exceptions.FailedPrecondition):
        return f"lacks an index: deploy firestore.indexes.json (`firebase deploy --only firestore`). {said}"
    return None
