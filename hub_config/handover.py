"""Hands a secret to a service without leaving it anywhere: JupyterHub writes a service's environment and command into
its database (`Service.environment`, seen in 6.1)."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path


def hold(secret: str) -> str:
    """The path of a file that has `secret` for as long as this process lives. It is in memory alone on Linux
    (memfd_create(2)); elsewhere a file that its owner alone can read, removed at the end."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("held")
        os.write(descriptor, secret.encode())
        return f"/proc/{os.getpid()}/fd/{descriptor}"
    with tempfile.NamedTemporaryFile("w", prefix="held-", delete=False) as file:
        file.write(secret)
    atexit.register(Path(file.name).unlink, missing_ok=True)
    return file.name
