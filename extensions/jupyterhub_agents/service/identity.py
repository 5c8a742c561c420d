"""Who calls: a JupyterHub token or a run key becomes a person."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..errors import HubUnavailable, NotAllowed, NotSignedIn
from .hub import Account, HubAPI, TokenOwner
from .remembered import MOST, Remembered
from .run_keys import PREFIX, RunKeys

LONGEST_S = 60.0
"""No answer of the hub is used for longer, whatever happens: a revoked token stops within this time."""
UNKNOWN_S = 2.0
"""For so long the hub is not asked again about a token that it did not know, or a server that did not run."""


@dataclass(frozen=True)
class Person:
    """Who calls, by what. `server` is the name of the workspace server that the token or the key belongs to, empty for
    the default one, and None for a token that a person made."""

    name: str
    admin: bool
    groups: tuple[str, ...]
    kind: Literal["user", "server", "run"]
    run_id: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    server: str | None = None
    scopes: frozenset[str] = field(default=frozenset(), repr=False)


class _Known(NamedTuple):
    person: Person
    owner: TokenOwner | None
    account: Account | None
    until: float
    """When a run key expires, by time.monotonic()."""


class Identities:
    """Asks the hub who a token belongs to, and whether a run key's server still runs. Its answers are used again for
    `cache_s` seconds; when it does not answer, for LONGEST_S at most. Tokens are kept as digests only."""

    def __init__(self, hub: HubAPI, keys: RunKeys, *, service: str, cache_s: float) -> None:
        self._hub = hub
        self._keys = keys
        self._service = service
        self._owners: Remembered[bytes, TokenOwner | None] = Remembered(
            fresh_s=lambda owner: cache_s if owner is not None else min(cache_s, UNKNOWN_S),
            usable_s=LONGEST_S,
            away=HubUnavailable,
        )
        self._accounts: Remembered[str, Account | None] = Remembered(
            fresh_s=lambda account: cache_s if account is not None else min(cache_s, UNKNOWN_S),
            usable_s=LONGEST_S,
            away=HubUnavailable,
        )
        self._known: dict[bytes, _Known] = {}
        """Who came by a credential. It counts while the hub's answers are those that it was made of."""

    async def close(self) -> None:
        await self._owners.close()
        await self._accounts.close()

    async def of_credential(self, credential: str | None) -> Person:
        """Whose token or run key this is. Raises as `of_token` and `of_run_key` do."""
        if not credential:
            raise NotSignedIn("There is no token. Send a JupyterHub token as `Authorization: Bearer TOKEN`.")
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._still_says(digest, known):
            return known.person
        person = await (self.of_run_key(credential) if credential.startswith(PREFIX) else self.of_token(credential))
        if person.kind == "run":
            owner, until = None, time.monotonic() + self._keys.holds_s(credential)
        else:
            owner, until = self._owners.fresh(digest), math.inf
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[digest] = _Known(person, owner, self._accounts.fresh(person.name), until)
        return person

    def _still_says(self, digest: bytes, known: _Known) -> bool:
        """Whether the hub's answers are the same ones, and not too old."""
        if known.account is None or known.account is not self._accounts.fresh(known.person.name):
            return False
        if known.person.kind == "run":
            return time.monotonic() < known.until
        return known.owner is not None and known.owner is self._owners.fresh(digest)

    async def of_token(self, token: str) -> Person:
        """Whose JupyterHub token this is. Raises NotSignedIn, NotAllowed without the scope to use this service, and
        HubUnavailable."""
        digest = hashlib.sha256(token.encode()).digest()
        owner = await self._owners.get(digest, lambda: self._hub.owner(token))
        if owner is None:
            raise NotSignedIn(
                "JupyterHub does not know this token: it was revoked, has expired, or is another hub's. Make a new one "
                "on the hub's token page, or restart your workspace."
            )
        if owner.kind != "user":
            raise NotAllowed(f"This token is the service {owner.name}'s. Only people's tokens are of use here.")
        if not {"access:services", f"access:services!service={self._service}"} & owner.scopes:
            raise NotAllowed(
                f"This token may not use this service: it lacks the scope access:services!service={self._service}. "
                "Make one with that scope on the hub's token page."
            )
        account = await self._account(owner.name)
        server = _server_of(owner)
        kind: Literal["user", "server"] = "user" if server is None else "server"
        return Person(account.name, account.admin, account.groups, kind, server=server, scopes=owner.scopes)

    async def of_run_key(self, text: str) -> Person:
        """Whose run key this is. Raises NotSignedIn also when its server was stopped, and HubUnavailable."""
        key = self._keys.read(text)
        account = await self._account(key.person)
        if account.servers.get(key.server) != key.server_started:
            # Perhaps it was started anew since the hub was asked.
            account = await self._account(key.person, at_most_s=UNKNOWN_S)
        if account.servers.get(key.server) != key.server_started:
            raise NotSignedIn(
                "This run key belongs to a workspace that was stopped. Start what you were doing again in the new one."
            )
        return Person(
            account.name, account.admin, account.groups, "run",
            run_id=key.run_id, agent_id=key.agent_id, session_id=key.session_id,
            server=key.server,
        )  # fmt: skip

    async def server_started(self, person: Person) -> str | None:
        """When the server whose token this is was started; None when it does not run. The hub is asked anew. Raises
        HubUnavailable."""
        if person.server is None:
            return None
        return (await self._account(person.name, at_most_s=0)).servers.get(person.server)

    async def _account(self, name: str, *, at_most_s: float = LONGEST_S) -> Account:
        account = await self._accounts.get(name, lambda: self._hub.account(name), at_most_s=at_most_s)
        if account is None:
            raise NotSignedIn(f"There is no {name} on this hub any more.")
        return account


def _server_of(owner: TokenOwner) -> str | None:
    """The server whose own token this is. JupyterHub gives such a token the role `server`, which opens that one server
    (its documentation, "Scopes", `access:servers!server`)."""
    opened = [scope for scope in owner.scopes if scope.partition("!")[0] == "access:servers"]
    mark = f"access:servers!server={owner.name}/"
    return opened[0].removeprefix(mark) if len(opened) == 1 and opened[0].startswith(mark) else None
