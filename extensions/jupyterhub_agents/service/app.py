"""`jupyterhub-agents-service`: the hub's service, started by the hub or on its own."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from traitlets import Bool, Float, Int, TraitError, Unicode, default
from traitlets.config import Application, catch_config_error

from .._version import __version__
from .budgets.meter import Budgets
from .draining import DrainingServer
from .front_door.config import FrontDoor
from .gateway.config import Gateway
from .identity import LONGEST_S
from .keeping import Keeping
from .run_keys import SECRET_BYTES, kept_secret
from .web import build


class AgentsService(Application):
    """The service of a JupyterHub with agents: the gateway to Claude, which holds the organisation's key and meters
    every call."""

    name = "jupyterhub-agents-service"
    version = __version__
    description = __doc__ or ""
    classes = [Gateway, Budgets, Keeping, FrontDoor]  # noqa: RUF012 - a trait of Application's
    aliases = {"config": "AgentsService.config_file", "state": "AgentsService.state_dir"}  # noqa: RUF012 - a trait of Application's

    config_file = Unicode(
        help="A Python file that sets traits on `c`, as jupyterhub_config.py does. Without one, defaults and the "
        "command line count."
    ).tag(config=True)
    state_dir = Unicode(
        help="The folder for what the service keeps, readable by its owner alone. Default: the environment variable "
        "JUPYTERHUB_AGENTS_SERVICE_STATE, else jupyterhub-agents-service in $XDG_DATA_HOME or ~/.local/share."
    ).tag(config=True)
    url = Unicode(
        help="The address to listen on, such as http://127.0.0.1:8040. Default: the environment variable "
        "JUPYTERHUB_SERVICE_URL, which the hub sets for the services that it starts."
    ).tag(config=True)
    prefix = Unicode(
        help="The path that everything is under, with a slash at both ends. Default: the environment variable "
        "JUPYTERHUB_SERVICE_PREFIX, which the hub sets, else /services/agents/."
    ).tag(config=True)
    service_name = Unicode(
        help="The service's name in the hub's configuration; people's tokens need the scope "
        "access:services!service=NAME. Default: the environment variable JUPYTERHUB_SERVICE_NAME, else agents."
    ).tag(config=True)
    hub_api_url = Unicode(
        help="Where the hub's API is. Default: the environment variable JUPYTERHUB_API_URL, which the hub sets."
    ).tag(config=True)
    hub_api_token = Unicode(
        help="The service's own token for the hub's API. Default: the environment variable JUPYTERHUB_API_TOKEN, which "
        "the hub sets. It needs the scopes read:users:name, read:users:groups and read:servers; read:groups:name for "
        "sharing with groups; and for the pages of administrators list:users and read:users:activity."
    ).tag(config=True)
    hub_url = Unicode(
        help="Where browsers find the hub, with a slash at the end. Default: what the environment variables "
        "JUPYTERHUB_HOST and JUPYTERHUB_BASE_URL say, which the hub sets, else /hub/."
    ).tag(config=True)
    oauth_client_id = Unicode(
        help="The name by which the hub knows the service when people sign in to its pages. Default: the environment "
        "variable JUPYTERHUB_CLIENT_ID, which the hub sets, else service-NAME."
    ).tag(config=True)
    oauth_redirect_uri = Unicode(
        help="Where the hub sends people back to when they have signed in, as it is set for the service in the hub's "
        "configuration. Default: the environment variable JUPYTERHUB_OAUTH_CALLBACK_URL, which the hub sets, else "
        "oauth_callback under the prefix."
    ).tag(config=True)
    refresh_s = Float(
        5.0, min=1.0, help="Seconds after which a page that somebody looks at asks for the newest figures."
    ).tag(config=True)
    hub_timeout_s = Float(
        10.0, min=0.1, help="Seconds that the hub may take to answer before calls are told that it is away."
    ).tag(config=True)
    identity_cache_s = Float(
        30.0, min=0.0, max=LONGEST_S,
        help="Seconds that the hub's answer about a token or a workspace is used again, at most 60. A revoked token, "
        "and the run keys of a stopped workspace, stop working within this time, or within 60 s while the hub is away.",
    ).tag(config=True)  # fmt: skip
    run_key_secret = Unicode(
        help="The secret that run keys are signed with, at least 64 hexadecimal digits (openssl rand -hex 32); the "
        "same for all replicas. Default: the environment variable JUPYTERHUB_AGENTS_RUN_KEY_SECRET, else one that is "
        "made at the first start and kept in the state folder."
    ).tag(config=True)
    run_key_longest_s = Float(
        2_592_000.0, min=1.0, help="The most seconds that a run key holds, whatever was asked for: 30 days. Those of a "
        "workspace that was stopped end with it in any case."
    ).tag(config=True)  # fmt: skip
    authenticate_metrics = Bool(
        True, help="Whether /metrics takes a token with the scope read:metrics. Set it to false where only the site's "
        "own Prometheus can reach the service."
    ).tag(config=True)  # fmt: skip
    stop_timeout_s = Int(
        5, min=0, help="Seconds that calls under way may take to end when the service is stopped; then they are cut."
    ).tag(config=True)

    drain_s = Float(
        0.0, min=0.0, help="Seconds for which the service goes on taking calls when it is stopped, closing the "
        "connection of each, before stop_timeout_s counts: 5 where another replica takes over, 0 where none does."
    ).tag(config=True)  # fmt: skip

    @default("state_dir")
    def _default_state_dir(self) -> str:
        if given := os.environ.get("JUPYTERHUB_AGENTS_SERVICE_STATE"):
            return given
        return str(Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / self.name)

    @default("url")
    def _default_url(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_URL") or "http://127.0.0.1:8040"

    @default("prefix")
    def _default_prefix(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or "/services/agents/"

    @default("service_name")
    def _default_service_name(self) -> str:
        return os.environ.get("JUPYTERHUB_SERVICE_NAME") or "agents"

    @default("hub_api_url")
    def _default_hub_api_url(self) -> str:
        return os.environ.get("JUPYTERHUB_API_URL", "")

    @default("hub_api_token")
    def _default_hub_api_token(self) -> str:
        return os.environ.get("JUPYTERHUB_API_TOKEN", "")

    @default("hub_url")
    def _default_hub_url(self) -> str:
        base = os.environ.get("JUPYTERHUB_BASE_URL") or "/"
        return f"{os.environ.get('JUPYTERHUB_HOST', '')}{base}hub/"

    @default("oauth_client_id")
    def _default_oauth_client_id(self) -> str:
        return os.environ.get("JUPYTERHUB_CLIENT_ID") or f"service-{self.service_name}"

    @default("oauth_redirect_uri")
    def _default_oauth_redirect_uri(self) -> str:
        return os.environ.get("JUPYTERHUB_OAUTH_CALLBACK_URL") or f"{self.prefix}oauth_callback"

    @default("run_key_secret")
    def _default_run_key_secret(self) -> str:
        if given := os.environ.get("JUPYTERHUB_AGENTS_RUN_KEY_SECRET"):
            return given
        if Keeping(parent=self).firestore_project:
            self.log.warning(
                "JUPYTERHUB_AGENTS_RUN_KEY_SECRET is not set: run keys and sign-ins of this replica hold in no other "
                "one, and end with its state folder."
            )
        return kept_secret(Path(self.state_dir) / "run-key-secret").hex()

    @property
    def run_key_secret_bytes(self) -> bytes:
        """The secret. Raises TraitError for one that is too short, or not written in hexadecimal digits."""
        try:
            secret = bytes.fromhex(self.run_key_secret)
        except ValueError:
            secret = b""
        if len(secret) < SECRET_BYTES:
            raise TraitError("AgentsService.run_key_secret needs at least 64 hexadecimal digits: openssl rand -hex 32.")
        return secret

    @catch_config_error
    def initialize(self, argv: list[str] | None = None) -> None:
        """Read the command line and the file, and see that what is needed is there."""
        self.parse_command_line(argv)
        if self.config_file:
            file = Path(self.config_file).resolve()
            self.load_config_file(file.name, str(file.parent))
        os.umask(0o077)
        self.gateway = Gateway(parent=self)
        keeping = Keeping(parent=self)
        self.store = keeping.make_store(Path(self.state_dir))
        self.budgets = Budgets(keeping.make_ledger(Path(self.state_dir)), parent=self)
        self.front_door = FrontDoor(parent=self)
        for name, variable in (("hub_api_url", "JUPYTERHUB_API_URL"), ("hub_api_token", "JUPYTERHUB_API_TOKEN")):
            if not getattr(self, name):
                raise TraitError(
                    f"AgentsService.{name} is not set, nor is {variable}: start it as a service of the hub."
                )
        _ = self.run_key_secret_bytes, self.gateway.anthropic_api_key  # what is wrong with them is said now

    def start(self) -> None:
        """Serve until a signal."""
        address = urlsplit(self.url)
        logging.basicConfig(level=logging.INFO, format="[%(levelname).1s %(asctime)s %(name)s] %(message)s")
        logging.getLogger("httpx").setLevel(logging.WARNING)
        DrainingServer(
            uvicorn.Config(
                build(self),
                host=address.hostname or "127.0.0.1",
                port=address.port or 8040,
                http="httptools",
                ws="websockets-sansio",
                loop="uvloop",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                # Those of the upstream are passed on.
                server_header=False,
                date_header=False,
                # Longer than clients keep theirs, so that none sends on a connection that is closing.
                timeout_keep_alive=120,
                timeout_graceful_shutdown=self.stop_timeout_s,
            ),
            self.drain_s,
        ).run()


def main() -> None:
    """The console script."""
    AgentsService.launch_instance()


if __name__ == "__main__":
    main()
