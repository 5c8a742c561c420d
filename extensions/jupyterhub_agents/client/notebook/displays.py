"""IPython's displays, whose functions have no types of their own."""

from __future__ import annotations

from collections.abc import Mapping

from IPython.display import DisplayHandle, display


def show(drawn: Mapping[str, str]) -> None:
    """Show a bundle of media types."""
    display(dict(drawn), raw=True)  # type: ignore[no-untyped-call]  # IPython's


class Display:
    """A place in a cell's output that can be drawn anew."""

    def __init__(self, drawn: Mapping[str, str]) -> None:
        self._handle = DisplayHandle()  # type: ignore[no-untyped-call]  # IPython's
        self._handle.display(dict(drawn), raw=True)  # type: ignore[no-untyped-call]  # IPython's

    def update(self, drawn: Mapping[str, str]) -> None:
        self._handle.update(dict(drawn), raw=True)  # type: ignore[no-untyped-call]  # IPython's
