"""Ports that are still free when the program for which they were chosen takes them."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
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


def test_one_in_use_and_one_to_be_kept_are_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Three of the system's own, because `free_ports` would have reserved its.
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as listening:
        used, kept, free = (each.getsockname()[1] for each in (listening, *(any_port(held) for _ in range(2))))
        held.close()
        given_out = tmp_path / "ip_local_port_range"
        given_out.write_text("1\t2\n")
        monkeypatch.setattr(ports, "_GIVEN_OUT", given_out)
        monkeypatch.setattr(ports, "CHOICE", (used, kept, free))
        assert ports.free_ports(1, besides=[kept]) == [free]
        with pytest.raises(OSError, match="no 1 free TCP ports"):
            ports.free_ports(1, besides=[kept, free])


def any_port(held: ExitStack) -> socket.socket:
    taken = held.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    return taken


def can_be_taken(port: int) -> None:
    """As a server takes it, whose turn it is."""
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_one_that_another_process_chose_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from hub_config.ports import free_ports; print(*free_ports(3))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    chosen = [int(word) for word in said.split()]
    monkeypatch.setattr(ports, "CHOICE", range(min(chosen), max(chosen) + 1))
    monkeypatch.setattr(ports.random, "sample", lambda candidates, _: [port for port in candidates if port in chosen])
    with pytest.raises(OSError, match="no 1 free TCP ports"):
        ports.free_ports(1)
    for port in chosen:
        can_be_taken(port)


def test_a_workspace_listens_on_one_of_them(ada: Person) -> None:
    ada.spawn()
    [workspace] = [
        process
        for process in ada.hub.processes_of("jupyterhub.singleuser")
        if process.environ()["JUPYTERHUB_USER"] == ada.name
    ]
    [address] = {each.laddr for each in workspace.net_connections("tcp") if each.status == "LISTEN"}
    assert address.port in ports.CHOICE
