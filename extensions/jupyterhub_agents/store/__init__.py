"""Where agents, runs and events are kept: the contract and its backends."""

from .base import MAX_PAGE, AgentStore

__all__ = ["MAX_PAGE", "AgentStore"]
