"""What a workspace on Kubernetes is, without a cluster: the settings, and the pod that KubeSpawner makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from hub_config import configure
from tests.cluster.rules import against_autopilot, against_restricted
from tests.hub.spawner_pod import pod_of

IMAGE = "registry.example.org/workspace:1"
TOKEN = "0" * 64
TEMPORARY = "/tmp"  # noqa: S108 - the pod's own volume


@pytest.fixture
def c() -> Config:
    config = Config()
    config.AgentHub.platform = "kubernetes"
    config.AgentHub.workspace_image = IMAGE
    config.AgentHub.service_url = "http://agents:8040"
    config.AgentHub.service_token = TOKEN
    config.AgentHub.user_password = "a-password-for-all"
    config.AgentHub.admin_password = "a-password-for-the-admin-of-the-hub"
    return config


def container(pod: dict[str, Any]) -> dict[str, Any]:
    [only] = pod["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("profile", [None, "small", "medium", "large"])
def test_every_size_is_admitted_by_restricted_and_left_as_it_is_by_autopilot(c: Config, profile: str | None) -> None:
    configure(c)
    pod = pod_of(c, profile)
    assert against_restricted(pod) == []
    assert against_autopilot(pod) == []


def test_the_rules_object_to_a_pod_that_is_none_of_ours(c: Config) -> None:
    """So that the test above says something."""
    configure(c)
    c.KubeSpawner.pod_security_context = c.KubeSpawner.container_security_context = {}
    c.KubeSpawner.allow_privilege_escalation = True
    c.KubeSpawner.uid = 0
    c.KubeSpawner.cpu_guarantee, c.KubeSpawner.mem_guarantee = 4, "1G"
    c.KubeSpawner.profile_list = []
    c.KubeSpawner.volumes = [{"name": "root", "hostPath": {"path": "/"}}]
    pod = pod_of(c)
    assert len(against_restricted(pod)) >= 5, against_restricted(pod)
    assert len(against_autopilot(pod)) >= 2, against_autopilot(pod)


def test_the_root_is_read_only_and_home_and_temp_are_volumes(c: Config) -> None:
    c.AgentHub.home_gib = 7
    c.AgentHub.temporary_gib = 3
    c.AgentHub.home_storage_class = "standard-rwo"
    configure(c)
    pod = pod_of(c)
    assert container(pod)["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"]: mount["name"] for mount in container(pod)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert set(mounts) == {"/home/jovyan", TEMPORARY}
    assert volumes[mounts["/home/jovyan"]]["persistentVolumeClaim"]["claimName"].startswith("home-")
    assert volumes[mounts[TEMPORARY]]["emptyDir"] == {"sizeLimit": "3Gi"}
    assert container(pod)["resources"]["limits"]["ephemeral-storage"] == "3Gi"
    assert (c.KubeSpawner.storage_capacity, c.KubeSpawner.storage_class) == ("7Gi", "standard-rwo")


def test_a_workspace_has_no_credential_of_the_clusters(c: Config) -> None:
    configure(c)
    spec = pod_of(c)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert "serviceAccountName" not in spec


def test_a_workspace_gets_time_to_end_in_order(c: Config) -> None:
    c.AgentHub.stop_grace_s = 45
    configure(c)
    assert c.KubeSpawner.delete_grace_period == 45
    assert pod_of(c)["spec"]["terminationGracePeriodSeconds"] == 45


def test_a_workspace_is_told_where_the_service_is_and_nothing_of_the_hubs_environment(
    c: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key-of-the-organisation")
    monkeypatch.setenv("SSL_CERT_FILE", "/of/the/hub")
    c.AgentHub.managed_settings = {"permissions": {"deny": ["WebFetch"]}}
    configure(c)
    pod = pod_of(c)
    environment = {entry["name"]: entry.get("value") for entry in container(pod)["env"]}
    assert environment["ANTHROPIC_BASE_URL"] == "http://agents:8040/services/agents/anthropic"
    assert environment["JUPYTERHUB_AGENTS_STORE_URL"] == "http://agents:8040/services/agents/"
    assert json.loads(environment["JUPYTERHUB_AGENTS_MANAGED_SETTINGS"] or "") == {
        "permissions": {"deny": ["WebFetch"]}
    }
    assert "key-of-the-organisation" not in json.dumps(pod)
    assert not {"SSL_CERT_FILE", "ANTHROPIC_API_KEY", "JUPYTERHUB_AGENTS_LAUNCH"} & set(environment)
    assert TOKEN not in json.dumps(pod)


def test_sizes_can_be_the_sites_own_and_a_single_one_is_not_asked_about(c: Config) -> None:
    c.AgentHub.profiles = {"only": {"cpu": 0.75, "memory_gib": 3, "cpu_limit": 2}}
    configure(c)
    resources = container(pod_of(c))["resources"]
    assert c.KubeSpawner.profile_list == []
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == (0.75, 2.0)
    assert int(resources["requests"]["memory"]) == int(resources["limits"]["memory"]) == 3 * 2**30


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ({"cpu": 0.3, "memory_gib": 1}, "steps of 0.25"),
        ({"cpu": 1, "memory_gib": 8}, "1 to 6.5 GiB"),
        ({"cpu": 2, "memory_gib": 1}, "1 to 6.5 GiB"),
        ({"cpu": 1}, "needs memory_gib"),
        ({"cpu": True, "memory_gib": 2}, "needs cpu"),
        ({"cpu": 1, "memory_gib": 2, "gpu": 1}, "'gpu'"),
        ({"cpu": 1, "memory_gib": 2, "cpu_limit": 0.5}, "cpu_limit"),
        ({"cpu": 1, "memory_gib": 2, "default": "yes"}, "default"),
        ("large", "not a dictionary"),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_why(c: Config, profile: object, says: str) -> None:
    c.AgentHub.profiles = {"own": profile}
    with pytest.raises(TraitError, match=says):
        configure(c)


def test_another_cluster_than_autopilot_may_have_other_sizes(c: Config) -> None:
    c.AgentHub.autopilot_rules = False
    c.AgentHub.profiles = {"own": {"cpu": 0.1, "memory_gib": 4}}
    configure(c)
    assert container(pod_of(c))["resources"]["requests"]["cpu"] == 0.1


@pytest.mark.parametrize(("name", "says"), [("workspace_image", "WORKSPACE_IMAGE"), ("service_url", "runs on its own")])
def test_what_a_cluster_needs_is_asked_for(c: Config, name: str, says: str) -> None:
    del c.AgentHub[name]
    with pytest.raises(TraitError, match=says):
        configure(c)


def test_sizes_go_from_small_to_large_and_the_default_is_the_smallest_or_the_one_that_says_so(c: Config) -> None:
    """The official chart sorts what it is given by name."""
    sizes: dict[str, dict[str, object]] = {
        "large": {"cpu": 2, "memory_gib": 8}, "medium": {"cpu": 1, "memory_gib": 4},
        "small": {"cpu": 0.5, "memory_gib": 2},
    }  # fmt: skip
    c.AgentHub.profiles = sizes
    configure(c)
    assert [(profile["slug"], profile["default"]) for profile in c.KubeSpawner.profile_list] == [
        ("small", True), ("medium", False), ("large", False),
    ]  # fmt: skip
    assert container(pod_of(c))["resources"]["requests"]["cpu"] == 0.5
    sizes["medium"]["default"] = True
    configure(c)
    assert [profile["slug"] for profile in c.KubeSpawner.profile_list if profile["default"]] == ["medium"]
    assert container(pod_of(c))["resources"]["requests"]["cpu"] == 1.0


def test_what_the_chart_sets_for_the_hub_stays(c: Config) -> None:
    c.JupyterHub.db_url = "sqlite:////of/the/chart"
    c.JupyterHub.hub_bind_url = "http://:8081"
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
    c.KubeSpawner.extra_pod_config = {"priorityClassName": "of-the-chart"}
    c.KubeSpawner.volumes = {"of-the-chart": {"name": "of-the-chart", "emptyDir": {}}}
    c.KubeSpawner.environment = {"OF_THE_CHART": "1"}
    c.KubeSpawner.image_pull_secrets = ["of-the-chart"]
    configure(c)
    assert c.JupyterHub.db_url == "sqlite:////of/the/chart"
    assert c.JupyterHub.hub_bind_url == "http://:8081"
    assert c.ConfigurableHTTPProxy.api_url == "http://proxy-api:8001"
    spec = pod_of(c)["spec"]
    assert spec["priorityClassName"] == "of-the-chart"
    assert spec["imagePullSecrets"] == [{"name": "of-the-chart"}]
    assert {"OF_THE_CHART", "ANTHROPIC_BASE_URL"} <= {entry["name"] for entry in spec["containers"][0]["env"]}
    assert {volume["name"] for volume in spec["volumes"]} == {"of-the-chart", "agents-home", "agents-tmp"}


def test_one_person_has_one_workspace_unless_the_site_says_otherwise(c: Config) -> None:
    configure(c)
    assert c.JupyterHub.allow_named_servers is False


SIGN_IN = {"sign_in_client_id": "hub", "sign_in_client_secret": "secret"}
OIDC = {
    "oidc_issuer": "https://id.example.org",
    "oidc_authorize_url": "https://id.example.org/authorize",
    "oidc_token_url": "https://id.example.org/token",
}


ANA = {"allowed_users": ["ana"]}


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"sign_in": "google", "allowed_domains": ["example.org"]}, "sign_in_client_id"),
        ({"sign_in": "google", **SIGN_IN}, "Nobody may sign in"),
        ({"sign_in": "google", **SIGN_IN, "allowed_domains": ["*"]}, "everybody"),
        ({"sign_in": "google", **SIGN_IN, "admin_groups": ["ops"], "allowed_domains": ["a.org"]}, "groups need"),
        ({"sign_in": "github", **SIGN_IN}, "Nobody may sign in"),
        ({"sign_in": "github", **SIGN_IN, "allowed_users": ["ana"], "allowed_domains": ["a.org"]}, "has none"),
        ({"sign_in": "github", **SIGN_IN, "allowed_users": ["../ana"]}, "nobody can be called"),
        ({"sign_in": "oidc", **SIGN_IN, "allowed_domains": ["a.org"]}, "openid-configuration"),
        ({"sign_in": "oidc", **SIGN_IN, **OIDC}, "Nobody may sign in"),
        (
            {
                "sign_in": "oidc",
                **SIGN_IN,
                **OIDC,
                "oidc_token_url": "http://id.example.org/token",
                "allowed_users": ["a"],
            },
            "has to be https",
        ),
        ({"sign_in": "oidc", **SIGN_IN, **OIDC, "allowed_users": ["a"], "oidc_scopes": ["email"]}, "no 'openid'"),
    ],
)
def test_a_way_of_signing_in_that_lets_in_nobody_or_anybody_is_refused(
    c: Config, choices: dict[str, object], says: str
) -> None:
    for name, value in choices.items():
        c.AgentHub[name] = value
    with pytest.raises(TraitError, match=says):
        configure(c)


def test_googles_groups_say_who_comes_in_and_who_is_an_administrator(c: Config) -> None:
    choices = {
        "sign_in": "google", **SIGN_IN, "allowed_domains": ["Example.org"], "allowed_groups": ["agents"],
        "admin_groups": ["operators"], "google_service_account_file": "/key.json", "google_workspace_admin": "root",
    }  # fmt: skip
    for name, value in choices.items():
        c.AgentHub[name] = value
    configure(c)
    google = c.GoogleOAuthenticator
    assert google.hosted_domain == ["example.org"]
    assert google.allowed_google_groups == {"example.org": {"agents"}}
    assert google.admin_google_groups == {"example.org": {"operators"}}
    assert google.google_service_account_keys == {"example.org": "/key.json"}
    assert google.gsuite_administrator == {"example.org": "root"}
    # The domain alone does not let in.
    assert c.Authenticator.allow_all is False
