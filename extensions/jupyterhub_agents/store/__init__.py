"""Where agents, runs and events are kept: the contract and its backends."""

from .base import MAX_PAGE, AgentStore
from .overview import OverviewStore

__all__ = ["MAX_PAGE", "AgentStore", "OverviewStore"]
