"""Ports that are still free when the program for which they were chosen takes them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hub_config import ports
from tests.hub.people import Person


def test_none_is_one_that_the_system_gives_to_whoever_asks_for_any() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    chosen = ports.free_ports(50)
    assert len(set(chosen)) == 50
    assert not [port for port in chosen if first <= port <= last]


def test_a_range_that_the_system_gives_out_is_left_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_out = tmp_path / "ip_local_port_range"
    given_out.write_text("20100\t65000\n")
    monkeypatch.setattr(ports, "_GIVEN_OUT", given_out)
    assert all(20000 <= port < 20100 for port in ports.free_ports(20))


def test_one_in_use_one_chosen_already_and_one_to_be_kept_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    used, chosen, kept, free = ports.free_ports(4)
    ports._recent.clear()
    ports._recent.append(chosen)
    monkeypatch.setattr(ports, "CHOICE", range(0, 30_000))
    monkeypatch.setattr(
        ports.random, "sample", lambda candidates, _: [p for p in (used, chosen, kept, free) if p in candidates]
    )
    with socket.create_server(("127.0.0.1", used)):
        assert ports.free_ports(1, besides=[kept]) == [free]
        with pytest.raises(OSError, match="no 1 free TCP ports"):
            ports.free_ports(1, besides=[kept])


def test_a_workspace_listens_on_one_of_them(ada: Person) -> None:
    ada.spawn()
    [workspace] = [
        process
        for process in ada.hub.processes_of("jupyterhub.singleuser")
        if process.environ()["JUPYTERHUB_USER"] == ada.name
    ]
    [address] = {each.laddr for each in workspace.net_connections("tcp") if each.status == "LISTEN"}
    assert address.port in ports.CHOICE
