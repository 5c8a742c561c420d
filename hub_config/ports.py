"""TCP ports for programs that are told by number where to listen, and that start only later."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

CHOICE = range(20_000, 30_000)
"""Below what systems give to those who do not ask for a number, and below Kubernetes' node ports (from 30000)."""

_GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Linux: the first and the last port of that kind (ip-sysctl.rst); by default 32768 and 60999. Elsewhere it is the
dynamic ports of RFC 6335, section 6, from 49152."""


def free_ports(count: int, *, besides: Collection[int] = ()) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now, none of `besides`.

    None is one that the system may give to an outgoing connection, or to a kernel that takes any port, before the
    program for which it was chosen takes it, nor one that this function chose in any process within the last minute.
    Raises OSError when there are not so many.
    """
    given_out = _given_out()
    candidates = [port for port in CHOICE if port not in given_out and port not in besides]
    chosen: list[int] = []
    for port in random.sample(candidates, len(candidates)):
        with suppress(OSError):
            _reserve(port)
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    raise OSError(f"no {count} free TCP ports of 127.0.0.1 from {CHOICE[0]} to {CHOICE[-1]}")


def _reserve(port: int) -> None:
    """Leave a port in the state TIME_WAIT, which it has when the side that listens there closes a connection first
    (RFC 9293, section 3.6). Servers, which set SO_REUSEADDR, get it all the same (socket(7)); this function, which
    does not, is refused it meanwhile, for a minute on Linux. Raises OSError when the port is in use or reserved."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.listen(1)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as caller:
            listener.accept()[0].close()
            caller.recv(1)


def _given_out() -> range:
    try:
        first, last = map(int, _GIVEN_OUT.read_text().split())
    except (OSError, ValueError):
        return range(49152, 65536)
    return range(first, last + 1)
