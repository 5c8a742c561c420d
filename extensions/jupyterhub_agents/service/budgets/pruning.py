"""Calls that are older than the site keeps them are dropped, from time to time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from ...errors import StoreUnavailable
from ...ids import Clock
from .ledger import Ledger

log = logging.getLogger(__name__)

_EVERY_S = 6 * 3600.0
_AGAIN_S = 60.0


async def drop_old_calls(ledger: Ledger, clock: Clock, day_of: Callable[[datetime], str], days: int) -> None:
    """Go on until cancelled. `day_of` gives the site's day of a moment. 0 days: nothing is ever dropped."""
    while days:
        wait_s = _EVERY_S
        try:
            if dropped := await ledger.prune(day_of(clock() - timedelta(days=days))):
                log.info("%d calls of more than %d days ago were dropped.", dropped, days)
        except StoreUnavailable as error:
            log.warning("Old calls could not be dropped: %s", error)
            wait_s = _AGAIN_S
        except Exception:
            log.exception("Dropping old calls failed; it goes on.")
        await asyncio.sleep(wait_s)
