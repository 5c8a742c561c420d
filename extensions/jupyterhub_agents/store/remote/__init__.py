"""The store behind the hub's service, over HTTP.

store.py       RemoteStore: the contract's calls
transport.py   requests: token, retries, packing, and what an answer means
"""

from .store import RemoteStore

__all__ = ["RemoteStore"]
