"""TCP ports for programs that are told by number where to listen, and that start only later."""

from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path

CHOICE = range(20_000, 30_000)
"""Below what systems give to those who do not ask for a number, and below Kubernetes' node ports (from 30000)."""

_GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Linux: the first and the last port of that kind (ip-sysctl.rst); by default 32768 and 60999. Elsewhere it is the
dynamic ports of RFC 6335, section 6, from 49152."""

_recent: deque[int] = deque(maxlen=1000)
"""Chosen by this process: who is to listen there may not have started yet."""


def free_ports(count: int, *, besides: Collection[int] = ()) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on now, none of `besides`, and none that this process chose of
    late.

    None is one that the system may give to an outgoing connection, or to a kernel that takes any port, before the
    program for which it was chosen takes it. Raises OSError when there are not so many.
    """
    chosen: list[int] = []
    given_out = _given_out()
    candidates = [port for port in CHOICE if port not in given_out and port not in besides and port not in _recent]
    with ExitStack() as held:
        for port in random.sample(candidates, len(candidates)):
            if len(chosen) == count:
                break
            attempt = held.enter_context(socket.socket())
            with suppress(OSError):
                attempt.bind(("127.0.0.1", port))
                chosen.append(port)
    if len(chosen) < count:
        raise OSError(f"no {count} free TCP ports of 127.0.0.1 from {CHOICE.start} to {CHOICE.stop - 1}")
    _recent.extend(chosen)
    return chosen


def _given_out() -> range:
    try:
        first, last = map(int, _GIVEN_OUT.read_text().split())
    except (OSError, ValueError):
        return range(49152, 65536)
    return range(first, last + 1)
