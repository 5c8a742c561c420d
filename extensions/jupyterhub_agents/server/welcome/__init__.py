"""The notebook that a new workspace opens on."""

from .welcome import place

__all__ = ["place"]
