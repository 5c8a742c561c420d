"""A site's choices, and the settings they become."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from traitlets import TraitError
from traitlets.config import Config

from hub_config import AgentHub, configure

CHOICES = sorted(AgentHub.class_traits(config=True))


@pytest.fixture
def c(tmp_path: Path) -> Config:
    """A configuration as JupyterHub hands it to the file, with a state folder of its own."""
    config = Config()
    config.AgentHub.state_dir = str(tmp_path / "state")
    return config


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_has_help_to_act_on(name: str) -> None:
    text = AgentHub.class_traits()[name].help
    assert len(text.split()) >= 8, f"AgentHub.{name} does not say what it does"
    assert text.strip().endswith(".")


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(c: Config) -> None:
    c.AgentHub.cull_timeuot = 5
    with pytest.raises(TraitError, match=r"c\.AgentHub\.cull_timeuot .* cull_timeout"):
        configure(c)


def test_reports_too_rare_for_the_culler_are_refused(c: Config) -> None:
    c.AgentHub.cull_timeout = 300
    with pytest.raises(TraitError, match="busy ones would be stopped"):
        configure(c)


@pytest.mark.parametrize("name", ["", "..", "Admin", "a/b", "ä", "-x", "a\n"])
def test_an_admin_name_that_nobody_could_sign_in_with_is_refused(c: Config, name: str) -> None:
    c.AgentHub.admin_user = name
    with pytest.raises(TraitError, match="admin_user"):
        configure(c)


def test_the_culler_gets_the_scopes_its_documentation_names_and_no_others(c: Config) -> None:
    configure(c)
    (role,) = [role for role in c.JupyterHub.load_roles if role["name"] == "idle-culler"]
    assert role["scopes"] == ["list:users", "read:users:activity", "read:servers", "delete:servers"]


def test_no_culler_runs_when_workspaces_may_stay(c: Config) -> None:
    c.AgentHub.cull_timeout = 0
    c.AgentHub.anthropic_api_key = "key"
    configure(c)
    assert [service["name"] for service in c.JupyterHub.services.get_value([])] == ["agents"]


def test_a_sites_own_services_and_roles_stay(c: Config) -> None:
    c.JupyterHub.services = [{"name": "own"}]
    c.JupyterHub.load_roles = [{"name": "own"}]
    configure(c)
    assert c.JupyterHub.services[0] == {"name": "own"}
    assert c.JupyterHub.load_roles[0] == {"name": "own"}
    assert {service["name"] for service in c.JupyterHub.services} == {"own", "idle-culler", "demo-model", "agents"}


def test_people_and_workspaces_may_use_the_service_and_it_may_see_who_and_whether_they_run(c: Config) -> None:
    configure(c)
    scopes = {role["name"]: role["scopes"] for role in c.JupyterHub.load_roles}
    use = "access:services!service=agents"
    assert scopes["user"] == ["self", use]
    assert scopes["server"] == ["users:activity!user", "access:servers!server", use]
    assert scopes["agents-service"] == [
        "list:users", "read:users:name", "read:users:groups", "read:users:activity", "read:servers",
        "read:groups:name",
    ]  # fmt: skip


def test_a_sites_own_user_role_gets_what_it_lacks(c: Config) -> None:
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "read:hub"]}]
    configure(c)
    (role,) = [role for role in c.JupyterHub.load_roles if role["name"] == "user"]
    assert role["scopes"] == ["self", "read:hub", "access:services!service=agents"]


def test_the_key_reaches_the_service_alone(c: Config) -> None:
    c.AgentHub.anthropic_api_key = "key-of-the-organisation"
    configure(c)
    (service,) = [s for s in c.JupyterHub.services.get_value([]) if s["name"] == "agents"]
    assert Path(service["environment"]["ANTHROPIC_API_KEY_FILE"]).read_text() == "key-of-the-organisation"
    assert "key-of-the-organisation" not in str(c.Spawner)
    assert "key-of-the-organisation" not in str(service)  # JupyterHub writes all of it into its database


def test_the_sites_policy_reaches_every_workspace(c: Config) -> None:
    policy = {"permissions": {"ask": ["Bash"]}}
    c.AgentHub.managed_settings = policy
    configure(c)
    environment = c.Spawner.environment.get_value({})
    assert json.loads(environment["JUPYTERHUB_AGENTS_MANAGED_SETTINGS"]) == policy


def test_everything_is_kept_in_the_state_folder(c: Config, tmp_path: Path) -> None:
    configure(c)
    state = str(tmp_path / "state")
    kept = (
        c.JupyterHub.db_url.removeprefix("sqlite:///"),
        c.JupyterHub.cookie_secret_file,
        c.JupyterHub.pid_file,
        c.ConfigurableHTTPProxy.pid_file,
        c.SimpleLocalProcessSpawner.home_dir_template,
    )
    assert [path for path in kept if not path.startswith(f"{state}/")] == []


def test_two_hubs_get_different_inner_ports(tmp_path: Path) -> None:
    ports = set()
    for name in ("one", "two"):
        config = Config()
        config.AgentHub.state_dir = str(tmp_path / name)
        configure(config)
        ports |= {config.JupyterHub.hub_bind_url, config.ConfigurableHTTPProxy.api_url}
    assert len(ports) == 4
    assert all(url.startswith("http://127.0.0.1:") for url in ports)
