"""Where the client goes, and with which token."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from jupyterhub_agents.client import NoWorkspace, door
from jupyterhub_agents.client.discovery import Hub, Workspace, find
from jupyterhub_agents.errors import InvalidInput

TOKEN = "t0ken"


def write_server(folder: Path, name: str, **fields: object) -> None:
    info = {"pid": os.getpid(), "url": "http://127.0.0.1:8888/", "token": TOKEN, "sock": ""} | fields
    (folder / f"jpserver-{name}.json").write_text(json.dumps(info))


def test_a_workspace_of_a_hub_is_known_from_its_environment() -> None:
    environ = {
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/ana/",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/ana/",
        "JUPYTERHUB_API_TOKEN": TOKEN,
    }
    assert find(environ=environ) == Workspace("http://127.0.0.1:8888/user/ana/", TOKEN)


def test_elsewhere_a_hub_is_asked_for_the_user() -> None:
    for url in ("https://hub.example.org/base", "https://hub.example.org/base/hub/home?next=x"):
        assert find(url, token=TOKEN, environ={}) == Hub("https://hub.example.org/base/", TOKEN)


def test_a_known_user_is_in_both_ways_to_the_workspace() -> None:
    hub = find("https://hub.example.org", user="ana b/c@x", environ={"JUPYTERHUB_API_TOKEN": TOKEN})
    assert hub == Hub("https://hub.example.org/", TOKEN, "ana b/c@x")
    assert hub.workspace_of("ana b/c@x") == Workspace("https://hub.example.org/user/ana%20b%2Fc@x/", TOKEN)
    assert door.find(hub.user).path == "services/agents/workspace/ana%20b%2Fc@x/"
    assert door.place_of(hub, "ana").url == "https://hub.example.org/services/agents/workspace/ana/"


def test_an_argument_wins_over_the_environment() -> None:
    environ = {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:1/", "JUPYTERHUB_API_TOKEN": "other"}
    place = find(workspace_url="http://[::1]:8888/user/ana", token=TOKEN, environ=environ)
    assert place == Workspace("http://[::1]:8888/user/ana/", TOKEN)


def test_a_token_in_an_address_is_not_kept() -> None:
    place = find(workspace_url=f"http://ana:{TOKEN}@127.0.0.1:8888/lab?token={TOKEN}", environ={})
    assert TOKEN not in place.url


def test_the_one_server_that_runs_is_found(tmp_path: Path) -> None:
    write_server(tmp_path, "1", url="http://localhost:8890/base/")
    write_server(tmp_path, "2", pid=2**22 + 1)
    write_server(tmp_path, "3", sock="/tmp/socket", url="http+unix://socket")  # noqa: S108 -- only a name
    (tmp_path / "jpserver-4.json").write_text("{")
    assert find(environ={"JUPYTER_RUNTIME_DIR": str(tmp_path)}) == Workspace("http://localhost:8890/base/", TOKEN)


def test_of_several_servers_the_one_that_started_this_kernel_is_meant(tmp_path: Path) -> None:
    write_server(tmp_path, "1", url="http://127.0.0.1:8001/", pid=os.getpid())
    write_server(tmp_path, "2", url="http://127.0.0.1:8002/", pid=os.getppid())
    environ = {"JUPYTER_RUNTIME_DIR": str(tmp_path)}
    assert find(environ=environ | {"JPY_PARENT_PID": str(os.getppid())}).url == "http://127.0.0.1:8002/"
    assert find(environ=environ | {"JUPYTER_SERVER_URL": "http://127.0.0.1:8001"}).url == "http://127.0.0.1:8001/"
    with pytest.raises(NoWorkspace, match=r"Several .*8001/.*8002/"):
        find(environ=environ)


def test_nothing_found_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(NoWorkspace, match=r"hub\.example\.org.*JUPYTERHUB_API_TOKEN"):
        find(environ={"JUPYTER_RUNTIME_DIR": str(tmp_path)})
    with pytest.raises(NoWorkspace, match="/hub/token"):
        find("https://hub.example.org", environ={})


@pytest.mark.parametrize("url", ["hub.example.org", "ftp://x/", "", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not an http or https address"):
        find(workspace_url=url, environ={})


@pytest.mark.parametrize("token", ["two words", "new\nline", "ä"])
def test_a_token_that_is_none_is_refused_without_being_said(token: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        find("https://hub.example.org", token=token, environ={})
    assert token not in refused.value.message


def test_a_token_is_never_shown() -> None:
    for place in (Hub("https://x/", TOKEN), Workspace("https://x/", TOKEN)):
        assert TOKEN not in repr(place)


def test_without_a_server_that_has_a_token_the_door_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / ".local" / "share" / "jupyterhub-agents"
    folder.mkdir(parents=True)
    path = folder / "s"
    environ = {"HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    write_server(tmp_path, "1", token="")
    (folder / "door").write_text(str(path))
    assert find(environ=environ).url == "http://127.0.0.1:8888/"  # the door names what is not there
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert find(environ=environ).url == "http://127.0.0.1:8888/"  # nobody listens
        listener.listen()
        door = find(environ=environ)
        assert isinstance(door, Workspace)
        assert (door.socket, door.headers) == (str(path), {})
        assert find(socket=path, environ={}) == find(socket=folder / "door", environ={}) == door
        write_server(tmp_path, "1")
        assert find(environ=environ) == Workspace("http://127.0.0.1:8888/", TOKEN)
