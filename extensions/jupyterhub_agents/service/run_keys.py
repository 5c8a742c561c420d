"""Run keys: what a Claude Code process holds in place of a token. They open the gateway and nothing else."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import jwt

from ..errors import NotSignedIn
from ..ids import Clock, utcnow

PREFIX = "agents-run-"
"""What every run key begins with, so that it can be told from a token, also by programs that look for leaked ones."""
AUDIENCE = "jupyterhub-agents-gateway"
ALGORITHM = "HS256"
SECRET_BYTES = 32
"""As many as SHA-256 gives (RFC 7518, section 3.2)."""


@dataclass(frozen=True)
class RunKey:
    """What a key says: whose it is, from which start of which server, and for what."""

    person: str
    server: str
    server_started: str
    run_id: str | None
    agent_id: str | None
    session_id: str | None
    expires_at: datetime


class RunKeys:
    """Makes and reads keys: JSON Web Tokens, signed with `secret` (at least 32 bytes)."""

    def __init__(self, secret: bytes, *, clock: Clock = utcnow) -> None:
        if len(secret) < SECRET_BYTES:
            raise ValueError(f"The secret of the run keys has {len(secret)} bytes and needs {SECRET_BYTES}.")
        self._secret = secret
        self._clock = clock

    def make(
        self,
        person: str,
        *,
        server: str,
        server_started: str,
        run_id: str | None,
        agent_id: str | None,
        session_id: str | None,
        expires_s: float,
    ) -> tuple[str, RunKey]:
        """A key that holds for `expires_s` seconds, and what it says."""
        now = self._clock()
        key = RunKey(
            person, server, server_started, run_id, agent_id, session_id,
            expires_at=(now + timedelta(seconds=expires_s)).replace(microsecond=0),
        )  # fmt: skip
        claims = {
            "aud": AUDIENCE, "sub": person, "iat": now, "exp": key.expires_at, "server": server,
            "started": server_started, "run": run_id, "agent": agent_id, "session": session_id,
        }  # fmt: skip
        return PREFIX + jwt.encode(claims, self._secret, ALGORITHM), key

    def read(self, text: str) -> RunKey:
        """What a key says. Raises NotSignedIn for one that was not made here, or has expired."""
        try:
            claims = jwt.decode(
                text.removeprefix(PREFIX), self._secret, [ALGORITHM], audience=AUDIENCE,
                options={"require": ["exp", "sub", "aud", "server", "started"], "verify_exp": False},
            )  # fmt: skip
            expires_at = datetime.fromtimestamp(int(claims["exp"]), self._clock().tzinfo)
        except (jwt.InvalidTokenError, ValueError, OverflowError) as error:
            raise NotSignedIn("This run key is none of this hub's. Start the run again.") from error
        if expires_at <= self._clock():
            raise NotSignedIn("This run key has expired. Start the run, or this terminal's workspace, again.")
        return RunKey(
            claims["sub"], claims["server"], claims["started"], claims.get("run"), claims.get("agent"),
            claims.get("session"), expires_at,
        )  # fmt: skip

    def holds_s(self, text: str) -> float:
        """Seconds until a key expires. Raises NotSignedIn as `read` does."""
        return (self.read(text).expires_at - self._clock()).total_seconds()


def kept_secret(file: Path) -> bytes:
    """The secret in `file`, which only its owner can read; made when there is none yet. Raises OSError."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    if not file.exists():
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(secrets.token_hex(SECRET_BYTES) + "\n")
            os.link(new, file)  # whole or not at all, and only once
        except FileExistsError:
            pass
        finally:
            new.unlink(missing_ok=True)
    return bytes.fromhex(file.read_text().strip())
