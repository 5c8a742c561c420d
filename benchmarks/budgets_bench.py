"""What metering a call costs: reserving from a lease in memory, and settling in the ledger.

`run()` gives the figures under stable names; `python -m benchmarks budgets` prints them. Four budgets have limits, as a
person's day and month, a group's and the hub's would.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from jupyterhub_agents.ids import utcnow
from jupyterhub_agents.service.budgets.booking import Booking
from jupyterhub_agents.service.budgets.firestore import FirestoreLedger
from jupyterhub_agents.service.budgets.ledger import Ledger
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.gateway.meter import Call, Usage
from jupyterhub_agents.service.identity import Person
from tests.store.firestore_emulator import running_emulator

RESERVATIONS = 5_000
ALONE = 500
COLD = 50
AT_ONCE = 200
ROUNDS = 20
LIMITS = {"person": {"day": 100_000, "month": 100_000}, "group": {"day": 100_000}, "hub": {"month": 1_000_000}}
USED = Usage(input_tokens=1_000, output_tokens=500, cache_read_input_tokens=20_000)


def run() -> dict[str, float]:
    """The figures: microseconds a reservation, milliseconds a settlement, calls a second."""
    with tempfile.TemporaryDirectory(prefix="jupyterhub-agents-bench-") as folder:
        ledger = SQLiteLedger(Path(folder) / "service.db")
        return asyncio.run(_measure(ledger, "budgets", ALONE))


def firestore() -> dict[str, float]:
    """The same on Google's emulator: the figures hold the work of our side and the number of round trips, not the
    network or Firestore's own time. A settlement waits for 0.1 s on purpose, after the caller has its answer."""
    folders = tempfile.TemporaryDirectory(prefix="jupyterhub-agents-bench-")
    with folders as folder, running_emulator(Path(folder)) as emulator:
        before = os.environ.get("FIRESTORE_EMULATOR_HOST")
        os.environ["FIRESTORE_EMULATOR_HOST"] = emulator.address
        try:
            ledger = FirestoreLedger(emulator.new_project(), Path(folder))
            return asyncio.run(_measure(ledger, "budgets.firestore", ALONE // 20))
        finally:
            del os.environ["FIRESTORE_EMULATOR_HOST"]
            if before is not None:
                os.environ["FIRESTORE_EMULATOR_HOST"] = before


async def _measure(ledger: Ledger, name: str, alone: int) -> dict[str, float]:
    # It reads files.
    budgets = await asyncio.to_thread(Budgets, ledger, default_budgets=LIMITS, lease_usd=10_000.0)
    async with budgets:
        await _settle(await budgets.reserve(_call("ada")))
        reserving = []
        bookings = []
        for _ in range(RESERVATIONS):
            begin = time.perf_counter()
            booking = await budgets.reserve(_call("ada"))
            reserving.append(time.perf_counter() - begin)
            bookings.append(booking)
        for start in range(0, RESERVATIONS, AT_ONCE):
            await asyncio.gather(*map(_settle, bookings[start : start + AT_ONCE]))
        settling = []
        for _ in range(alone):
            booking = await budgets.reserve(_call("ada"))
            begin = time.perf_counter()
            await _settle(booking)
            settling.append(time.perf_counter() - begin)
        cold = []
        for number in range(COLD):
            begin = time.perf_counter()
            booking = await budgets.reserve(_call(f"person-{number}"))
            cold.append(time.perf_counter() - begin)
            await _settle(booking)
        begin = time.perf_counter()
        for _ in range(ROUNDS):
            await asyncio.gather(*(_both(budgets) for _ in range(AT_ONCE)))
        rate = ROUNDS * AT_ONCE / (time.perf_counter() - begin)
    return {
        f"{name}.reserve_us.p50": statistics.median(reserving) * 1e6,
        f"{name}.reserve_us.p99": statistics.quantiles(reserving, n=100)[98] * 1e6,
        f"{name}.reserve_first_call_ms.p50": statistics.median(cold) * 1e3,
        f"{name}.settle_ms.p50": statistics.median(settling) * 1e3,
        f"{name}.settle_ms.p99": statistics.quantiles(settling, n=100)[98] * 1e3,
        f"{name}.200_at_once.calls_per_s": rate,
    }


async def _both(budgets: Budgets) -> None:
    await _settle(await budgets.reserve(_call("ada")))


async def _settle(booking: Booking) -> None:
    await booking.settle(USED, status=200, duration_s=1.0, complete=True)


def _call(name: str) -> Call:
    person = Person(name, admin=False, groups=("ml",), kind="user")
    return Call(person, "claude-sonnet-5-5", 32_000, 80_000, True, utcnow())
