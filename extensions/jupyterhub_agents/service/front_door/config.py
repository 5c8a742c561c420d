"""FrontDoor: where workspaces are reached, and how long is waited for them. Every choice as a trait."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from traitlets import Float, Int, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable


class FrontDoor(LoggingConfigurable):
    """The way from outside to the agents of a workspace. It goes with the caller's own token and gives nobody more than
    that does."""

    hub_url = Unicode(
        help="Where this service reaches what people reach in their browsers: the hub's proxy, with the hub's base "
        "URL, such as http://127.0.0.1:8000/ or http://proxy-public/. Without one the front door is closed. Default: "
        "the environment variable JUPYTERHUB_AGENTS_HUB_URL, which hub_config sets."
    ).tag(config=True)
    start_timeout_s = Float(
        300.0, min=1.0, help="Seconds that a sleeping workspace may take to start before a request is told that it did "
        "not. Make it longer than the hub's own limit, so that the hub's reason is told."
    ).tag(config=True)  # fmt: skip
    patience_s = Float(
        120.0, min=1.0, help="Seconds for which a stream waits for a workspace that has gone, such as while it, the "
        "proxy or the hub restarts. A workspace that was stopped meanwhile is not started again by it."
    ).tag(config=True)  # fmt: skip
    answer_timeout_s = Float(
        120.0, min=1.0, help="Seconds that a workspace may be silent over a request. Waiting for the answer of a "
        "conversation has an hour more."
    ).tag(config=True)  # fmt: skip
    body_limit_mb = Int(
        8, min=1, help="The largest request, in MB of 1024 KiB; larger ones get status 413. Workspaces take no more "
        "than 8."
    ).tag(config=True)  # fmt: skip

    @default("hub_url")
    def _default_hub_url(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_HUB_URL", "")

    @validate("hub_url")
    def _an_address(self, proposal: Any) -> str:
        text = str(proposal["value"])
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
            raise TraitError(f"FrontDoor.hub_url is {text!r}: give an address such as http://127.0.0.1:8000/.")
        return text
