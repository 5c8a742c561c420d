"""The `jupyter agents-store` command: moves everything of a person from one store to another, and says that it is all
there.

Exit codes: 0 done, and the same at both ends; 1 not the same; 2 wrong usage or input; 3 refused, not found or not
reachable; 130 Ctrl-C, or asked to
end. Results go to standard output, progress and errors to standard error.
"""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
from rich.console import Console
from rich.status import Status

from ..errors import AgentsError, InvalidInput, NotFound
from . import transfer
from .base import AgentStore
from .exchange import Counts, End
from .places import FORMS, store_at

EXIT_DIFFERENT = 1
EXIT_INPUT = 2
EXIT_REFUSED = 3
EXIT_CTRL_C = 130

QUIET_S = 1.0
"""What takes no longer needs no progress."""
LINE_S = 10.0
"""How often progress is a new line, where nobody looks at a terminal."""

P = ParamSpec("P")


class Refused(click.ClickException):
    """An error for the person: a sentence or two on standard error."""

    exit_code = EXIT_REFUSED


class WrongInput(click.ClickException):
    """The same, for what was given wrong."""

    exit_code = EXIT_INPUT


class Progress(AbstractContextManager["Progress"]):
    """Says what is being done to `owner`'s things and how far it is, from the first second on."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._console = Console(stderr=True)
        self._status: Status | None = None
        self._next = time.monotonic() + QUIET_S

    def __call__(self, doing: str, counts: Counts) -> None:
        if time.monotonic() < self._next:
            return
        text = f"{self.owner}: {doing}, {in_words(counts)}"
        if not self._console.is_terminal:
            self._next = time.monotonic() + LINE_S
            click.echo(text, err=True)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()


def in_words(counts: Counts) -> str:
    """`2 agents, 3 revisions, ...`"""
    plurals = {"entry": "entries"}
    return ", ".join(f"{n:,} {kind if n == 1 else plurals.get(kind, kind + 's')}" for kind, n in counts)


def tell(place: str, owner: str, end: End) -> None:
    click.echo(f"{place}: {owner}: {in_words(end.counts)}; sha256 {end.sha256}")


def asynchronous(command: Callable[P, Awaitable[int]]) -> Callable[P, None]:
    """A command that is a coroutine and gives its exit code. Errors become sentences."""

    @functools.wraps(command)
    def wrapper(*arguments: P.args, **named: P.kwargs) -> None:
        async def run() -> int:
            return await command(*arguments, **named)

        try:
            code = asyncio.run(run())
        except AgentsError as error:
            kind = WrongInput if isinstance(error, InvalidInput) else Refused
            raise kind(error.message) from error
        if code:
            sys.exit(code)

    return wrapper


def source(command: Callable[Concatenate[str, P], Any]) -> Callable[..., Any]:
    return click.option("--from", "source", required=True, metavar="STORE", help=f"Where it is: {FORMS}.")(command)


def owners_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--all", "everybody", is_flag=True, help="Everybody who has something in it.")(command)
    return click.option("--owner", "owners", multiple=True, metavar="NAME", help="Whose; can be given again.")(command)


file_argument = functools.partial(click.argument, "file", metavar="FILE", type=click.Path(path_type=Path))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jupyterhub-agents")
def cli() -> None:
    """Move everything of a person between stores: agents with all revisions, runs, events, approvals, transcripts.

    A STORE is sqlite:PATH or firestore:PROJECT[/DATABASE]. Firestore is reached with the Application Default
    Credentials, or at FIRESTORE_EMULATOR_HOST. Stop the person's workspace first.
    """


@cli.command()
@source
@click.option("--owner", required=True, metavar="NAME", help="Whose things.")
@file_argument()
@asynchronous
async def export(source: str, owner: str, file: Path) -> int:
    """Write everything of a person to a new FILE, which only you can read, and read it again."""
    async with store_at(source, must_exist=True) as store:
        await chosen(store, source, [owner], everybody=False)
        with Progress(owner) as progress:
            stored = await transfer.export(store, owner, file, progress=progress)
            _, written = await transfer.inspect(file, progress=progress)
    tell(source, owner, stored)
    tell(str(file), owner, written)
    return same(stored, written)


@cli.command("import")
@click.option("--to", "target", required=True, metavar="STORE", help=f"Where to: {FORMS}.")
@click.option("--owner", metavar="NAME", help="Whose they become; else of the name that is in the file.")
@file_argument()
@asynchronous
async def import_(target: str, owner: str | None, file: Path) -> int:
    """Store everything of a FILE, and verify it there. One that was interrupted goes on when it is repeated."""
    with Progress(owner or str(file)) as progress:
        name, written = await transfer.inspect(file, progress=progress)
        progress.owner = owner or name
        async with store_at(target) as store:
            stored = await transfer.load(store, owner or name, file, progress=progress)
    tell(str(file), name, written)
    tell(target, owner or name, stored)
    return same(written, stored)


@cli.command()
@source
@click.option("--to", "target", required=True, metavar="STORE", help=f"Where to: {FORMS}.")
@owners_options
@asynchronous
async def copy(source: str, target: str, owners: tuple[str, ...], everybody: bool) -> int:
    """Copy people from one store into another, through a file that is removed at the end.

    It is written to the folder for temporary files, which TMPDIR names. What was copied before is compared, not
    written again.
    """
    code = 0
    async with store_at(source, must_exist=True) as old, store_at(target) as new:
        for owner in await chosen(old, source, owners, everybody):
            with tempfile.TemporaryDirectory(prefix="agents-store-") as folder, Progress(owner) as progress:
                file = Path(folder) / "export.jsonl"
                there = await transfer.export(old, owner, file, progress=progress)
                here = await transfer.load(new, owner, file, progress=progress)
            tell(source, owner, there)
            tell(target, owner, here)
            code = code or same(there, here)
    return code


@cli.command()
@source
@click.option("--to", "target", metavar="STORE", help=f"A store to compare with: {FORMS}.")
@owners_options
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@asynchronous
async def verify(source: str, target: str | None, owners: tuple[str, ...], everybody: bool, file: Path | None) -> int:
    """Compare what people have in a store with another store, or what one has with an export in a FILE."""
    if (target is None) == (file is None):
        raise click.UsageError("Give what to compare with: another store with --to, or a FILE.")
    if file is not None and (everybody or len(owners) != 1):
        raise click.UsageError("A FILE is of one person: say whose things to compare with one --owner.")
    code = 0
    async with store_at(source, must_exist=True) as one:
        for owner in await chosen(one, source, owners, everybody):
            with Progress(owner) as progress:
                there = await transfer.digest(one, owner, progress=progress)
                if file is not None:
                    place, (_, here) = str(file), await transfer.inspect(file, progress=progress)
                else:
                    place = str(target)
                    async with store_at(place, must_exist=True) as other:
                        here = await transfer.digest(other, owner, progress=progress)
            tell(source, owner, there)
            tell(place, owner, here)
            code = code or same(there, here)
    return code


@cli.command()
@source
@asynchronous
async def owners(source: str) -> int:
    """The names of all who have something in a store."""
    async with store_at(source, must_exist=True) as store:
        for owner in await store.owners():
            click.echo(owner)
    return 0


async def chosen(store: AgentStore, place: str, owners: tuple[str, ...] | list[str], everybody: bool) -> list[str]:
    """The people that are meant. Raises NotFound for one who has nothing there."""
    if everybody == bool(owners):
        raise click.UsageError("Say whose things: --owner NAME, or --all.")
    known = await store.owners()
    for owner in owners:
        if owner not in known:
            some = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            raise NotFound(f"{owner!r} has nothing in {place}. These have: {some or 'nobody'}.")
    return list(dict.fromkeys(owners)) or known


def same(one: End, other: End) -> int:
    """The exit code that says whether both are the same, with a word to people when they are not."""
    if one == other:
        click.echo("The same, by count and digest.")
        return 0
    click.echo("NOT the same: compare the two lines above.", err=True)
    return EXIT_DIFFERENT


def main() -> None:
    """The console script `jupyter-agents-store`, which Jupyter finds as `jupyter agents-store`."""
    # As Ctrl-C, and by way of it: what is not whole is taken away. asyncio.run has that cancel the command, where an
    # exception of a handler's own would come up anywhere in the loop.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        # Not standalone: click would turn Ctrl-C into exit code 1.
        cli.main(prog_name="jupyter agents-store", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_CTRL_C)
