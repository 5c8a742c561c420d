"""A replica in a process of its own: `python spender.py PLACE CALLS AT_ONCE [forever]`. PLACE is the ledger's file, or
`firestore:PROJECT:FOLDER`.

Makes calls for ada with a budget of 10 cents a day and half a cent the most for each; each takes a moment. The id of
each settled call goes to stdout as it is settled; at the end, how many were refused.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from jupyterhub_agents.ids import Clock, utcnow
from jupyterhub_agents.service.budgets.firestore import FirestoreLedger
from jupyterhub_agents.service.budgets.ledger import Ledger
from jupyterhub_agents.service.budgets.meter import Budgets
from jupyterhub_agents.service.budgets.sqlite import SQLiteLedger
from jupyterhub_agents.service.gateway.meter import Call, Refused, Usage
from jupyterhub_agents.service.identity import Person

LIMIT_USD = 0.10
WORST_TOKENS = 1000
ADA = Person("ada", admin=False, groups=(), kind="user")
SPENT_TOKENS = 900
LEASE_S = 6.0


def ledger_at(place: str, clock: Clock = utcnow) -> Ledger:
    if not place.startswith("firestore:"):
        return SQLiteLedger(Path(place))
    _, project, folder = place.split(":")
    return FirestoreLedger(project, Path(folder), clock=clock)


async def main(place: str, calls: int, at_once: int, forever: bool) -> None:
    limits = {} if forever else {"person": {"day": LIMIT_USD}}
    refused = 0
    async with Budgets(ledger_at(place), default_budgets=limits, lease_usd=0.02, lease_s=LEASE_S) as budgets:
        gate = asyncio.Semaphore(at_once)

        async def one() -> None:
            nonlocal refused
            async with gate:
                call = Call(ADA, "claude-haiku-4-5", WORST_TOKENS, 0, True, utcnow())
                try:
                    booking = await budgets.reserve(call)
                except Refused:
                    refused += 1
                    return
                await asyncio.sleep(0.005)
                await booking.settle(Usage(output_tokens=SPENT_TOKENS), status=200, duration_s=0.005, complete=True)
                os.write(1, f"{booking.id}\n".encode())

        while True:
            await asyncio.gather(*(one() for _ in range(calls)))
            if not forever:
                break
    os.write(1, f"refused {refused}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "forever" in sys.argv[4:]))
