"""Who asks, for the service's own API: dependencies of its routes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from ..errors import NotAllowed
from .gateway.headers import credential
from .identity import Identities, Person

bearer = HTTPBearer(auto_error=False, description="A JupyterHub token with the scope access:services!service=agents.")


async def person(request: Request, _: Annotated[object, Depends(bearer)]) -> Person:
    """Whoever's JupyterHub token the request carries. A run key is none: it opens the gateway only. Raises NotSignedIn,
    NotAllowed, HubUnavailable."""
    identities: Identities = request.app.state.identities
    who = await identities.of_credential(credential(request.headers.raw))
    if who.kind == "run":
        raise NotAllowed("A run key opens the gateway to the models, and nothing else.")
    return who


async def admin(who: Annotated[Person, Depends(person)]) -> Person:
    """The same, for admins of the hub alone."""
    if not who.admin:
        raise NotAllowed("Only an admin of this hub may do that.")
    return who


AsPerson = Annotated[Person, Depends(person)]
AsAdmin = Annotated[Person, Depends(admin)]
