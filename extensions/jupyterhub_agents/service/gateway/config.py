"""Gateway: which models' API stands behind it, and how it is reached. Every choice as a trait."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traitlets import Dict, Enum, Float, Int, TraitError, Unicode, default, validate
from traitlets.config import LoggingConfigurable

from .meter import Meter, Unlimited
from .upstream import Anthropic, Upstream
from .vertex import VertexAI

ANTHROPIC_API = "https://api.anthropic.com"


class Gateway(LoggingConfigurable):
    """Where the models are. The organisation's key is this service's alone: workspaces hold run keys."""

    upstream = Enum(
        ["anthropic", "vertex"],
        help="Which API the models are reached by: `anthropic`, Anthropic's own or an address that speaks it, with a "
        "key; or `vertex`, Claude on Google's Vertex AI, with the service's own Google identity and no key. Default: "
        "`vertex` when there is a `vertex_project` and no `anthropic_api_key`, else `anthropic`.",
    ).tag(config=True)
    anthropic_api_key = Unicode(
        help="The organisation's key to Anthropic's API; never to be set on the command line, which everyone on the "
        "machine can read. Default: what stands in the file that the environment variable ANTHROPIC_API_KEY_FILE of "
        "the service names, such as a mounted secret, else the environment variable ANTHROPIC_API_KEY."
    ).tag(config=True)
    anthropic_base_url = Unicode(
        help="Where the Messages API is, without /v1. Default: the environment variable ANTHROPIC_BASE_URL of the "
        "service, else Anthropic's own address. A redirect from there is not followed."
    ).tag(config=True)
    vertex_project = Unicode(
        help="The Google Cloud project whose Vertex AI is used. Default: the environment variable "
        "ANTHROPIC_VERTEX_PROJECT_ID, which Claude Code itself uses too."
    ).tag(config=True)
    vertex_region = Unicode(
        help="The region of Vertex AI, such as `europe-west1`, one of the multi-regions `us` and `eu`, or `global`. "
        "Default: the environment variable CLOUD_ML_REGION, else `global`."
    ).tag(config=True)
    vertex_base_url = Unicode(
        help="Where Vertex AI is, when not at Google's own address of the region: a private endpoint, or a test's."
    ).tag(config=True)
    vertex_models = Dict(
        key_trait=Unicode(), value_trait=Unicode(),
        help="Vertex AI's names of models where they differ from Anthropic's by more than how the date is written, "
        "such as {'claude-sonnet-4-5': 'claude-sonnet-4-5@20250929'}.",
    ).tag(config=True)  # fmt: skip
    connect_timeout_s = Float(
        10.0, min=0.1,
        help="Seconds that connecting to the upstream may take. Nothing else is limited: an answer may begin late and "
        "be silent for long.",
    ).tag(config=True)  # fmt: skip
    proxy = Unicode(
        help="The HTTP proxy towards the upstream, such as http://proxy.example:3128. Default: what the environment "
        "variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the service say for the upstream's address."
    ).tag(config=True)
    body_limit_mb = Int(
        32, min=1, help="The largest request, in MB of a million bytes; larger ones get status 413. 32 is the API's "
        "own limit."
    ).tag(config=True)  # fmt: skip
    metering = Enum(
        ["budgets", "unlimited"],
        default_value="budgets",
        help="Who decides whether a call may be made: `budgets` puts every call on record, with what it cost, and "
        "holds people to their budgets; `unlimited` lets every person's calls through and keeps no books.",
    ).tag(config=True)

    @default("upstream")
    def _default_upstream(self) -> str:
        return "vertex" if self.vertex_project and not self.anthropic_api_key else "anthropic"

    @default("anthropic_api_key")
    def _default_anthropic_api_key(self) -> str:
        if file := os.environ.get("ANTHROPIC_API_KEY_FILE"):
            try:
                return Path(file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise TraitError(f"ANTHROPIC_API_KEY_FILE: {file} cannot be read: {error.strerror}.") from error
        return os.environ.get("ANTHROPIC_API_KEY", "").strip()

    @default("anthropic_base_url")
    def _default_anthropic_base_url(self) -> str:
        return os.environ.get("ANTHROPIC_BASE_URL") or ANTHROPIC_API

    @default("vertex_project")
    def _default_vertex_project(self) -> str:
        return os.environ.get("ANTHROPIC_VERTEX_PROJECT_ID", "")

    @default("vertex_region")
    def _default_vertex_region(self) -> str:
        return os.environ.get("CLOUD_ML_REGION") or "global"

    @default("proxy")
    def _default_proxy(self) -> str:
        address = urlsplit(self.anthropic_base_url if self.upstream == "anthropic" else "https://googleapis.com")
        if urllib.request.proxy_bypass(address.netloc):
            return ""
        return urllib.request.getproxies().get(address.scheme, "")

    @validate("anthropic_base_url", "vertex_base_url")
    def _an_address(self, proposal: Any) -> str:
        text = str(proposal["value"])
        parts = urlsplit(text)
        if text and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment):
            raise TraitError(
                f"Gateway.{proposal['trait'].name} is {text!r}: give an address such as https://api.example, with no "
                "question mark."
            )
        return text

    def make_upstream(self) -> Upstream:
        """The upstream that was chosen."""
        if self.upstream == "vertex":
            return VertexAI(
                project=self.vertex_project, region=self.vertex_region, base_url=self.vertex_base_url,
                models=self.vertex_models,
            )  # fmt: skip
        return Anthropic(self.anthropic_base_url, self.anthropic_api_key)

    def choose_meter(self, budgets: Meter) -> Meter:
        """`budgets`, unless the site wants none."""
        return budgets if self.metering == "budgets" else Unlimited()
