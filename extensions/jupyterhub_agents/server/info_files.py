"""Takes the hub's token out of the files in which a Jupyter server says where it is.

Jupyter Server writes its token into `jpserver-PID.json` and `jpserver-PID-open.html` in the runtime folder. Under
JupyterHub that is the server's own token of the hub (JupyterHubIdentityProvider.token, seen with 6.1), by which whoever
can read the home, an agent too, could be the person. The files stay, without it.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from jupyter_server.serverapp import ServerApp


def without_hub_token(server: ServerApp) -> None:
    """Rewrite the files of a server that has started. One that is no hub's keeps its token: a person needs it there."""
    if getattr(server.identity_provider, "hub_auth", None) is None:
        return
    with suppress(OSError):
        Path(server.browser_open_file).unlink(missing_ok=True)
        if server.file_to_run:
            Path(server.browser_open_file_to_run).unlink(missing_ok=True)
    path = Path(server.info_file)
    with suppress(FileNotFoundError):
        info = json.loads(path.read_text(encoding="utf-8")) | {"token": ""}
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name + ".")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(info, file, indent=2, sort_keys=True)
        Path(name).replace(path)
