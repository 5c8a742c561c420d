"""Shipped for others: the store's contract suite, and the scripted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .scripted_model import ScriptedModel
    from .store_contract import StoreContract

__all__ = ["ScriptedModel", "StoreContract"]


def __getattr__(name: str) -> Any:
    # PEP 562: who takes one of these needs not have what the others import.
    if name == "ScriptedModel":
        from .scripted_model import ScriptedModel

        return ScriptedModel
    if name == "StoreContract":
        from .store_contract import StoreContract

        return StoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
