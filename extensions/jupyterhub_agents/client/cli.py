"""The `jupyter agents` command. Only click is imported at the start; the rest when a command needs it.

Exit codes: 0 done, or the run succeeded; 1 the run failed; 2 wrong usage or input; 3 refused, not found or not
reachable; 4 the run was cancelled by someone else; 5 the run was interrupted and can be resumed; 130 Ctrl-C
(the first cancels a run that is being followed, a second leaves at once).
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ..errors import AgentsError, InvalidInput

if TYPE_CHECKING:
    from ..models import Run
    from .door import Progress
    from .sync import AgentClient

F = TypeVar("F", bound=Callable[..., Any])

RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
EXIT_CODES = {"succeeded": 0, "failed": 1, "cancelled": 4, "interrupted": 5}
EXIT_INPUT = 2
EXIT_REFUSED = 3
EXIT_CTRL_C = 130


class Refused(click.ClickException):
    """An error for the person: a sentence or two on stderr."""

    exit_code = EXIT_REFUSED


class WrongInput(click.ClickException):
    """The same, for what was given wrong."""

    exit_code = EXIT_INPUT


def with_client(command: F) -> F:
    """Add the options that say where the workspace is, and call the command with a client for it."""

    @click.option("--hub", metavar="URL", help="A hub; its token is read from JUPYTERHUB_API_TOKEN.")
    @click.option("--user", metavar="NAME", help="Whose workspace on that hub; else the token's owner's.")
    @click.option("--workspace", metavar="URL", help="A single-user server, instead of a hub.")
    @click.option("--socket", metavar="PATH", help="A workspace's unix socket, or the file that names it.")
    @functools.wraps(command)
    def wrapper(hub: str | None, user: str | None, workspace: str | None, socket: str | None, **arguments: Any) -> Any:
        from ..models import Trigger
        from .sync import AgentClient

        try:
            with AgentClient(
                hub, workspace_url=workspace, user=user, socket=socket, trigger=Trigger.CLI, on_progress=_show
            ) as client:
                return command(client, **arguments)
        except AgentsError as error:
            from .transcript import clean

            kind = WrongInput if isinstance(error, InvalidInput) else Refused
            raise kind(clean(error.message)) from error

    return wrapper  # type: ignore[return-value]  # click's decorators keep the call's shape, not its type


def _show(progress: Progress) -> None:
    """How far a workspace is that starts, a line a step."""
    from . import console

    console.aside(f"Starting the workspace: {progress.percent:>3} % {progress.message}")


as_json = click.option("--json", "as_json", is_flag=True, help="JSON for programs instead of text for people.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jupyterhub-agents")
def cli() -> None:
    """Coding agents of a JupyterHub workspace: make them, run them, watch them.

    In a workspace no option is needed. Elsewhere name the hub with --hub and put a token from its page
    /hub/token into JUPYTERHUB_API_TOKEN.
    """


@cli.command("list")
@as_json
@with_client
def list_agents(client: AgentClient, as_json: bool) -> None:
    """The agents there are."""
    from . import console

    agents = client.agents()
    if as_json:
        console.print_json([agent.record for agent in agents])
    else:
        console.print_table(agents, empty="No agents yet. Make one: jupyter agents create NAME --instructions TEXT")


@cli.command()
@click.argument("name", required=False)
@click.option("--id", "agent_id", metavar="ID", help="Its id; else made of the name.")
@click.option("--description", metavar="TEXT", help="When to use it.")
@click.option("--instructions", metavar="TEXT", help="Added to Claude Code's own system prompt; @FILE reads a file.")
@click.option("--model", metavar="NAME", help="A model's name or alias.")
@click.option("--tool", "tools", multiple=True, metavar="RULE", help="A tool it may use, such as 'Bash(git diff:*)'.")
@click.option("--disallow", "disallowed_tools", multiple=True, metavar="RULE", help="A tool it never has.")
@click.option("--allow", "allowed_tools", multiple=True, metavar="RULE", help="Calls that need no consent.")
@click.option(
    "--permission-mode", metavar="MODE", help="default, acceptEdits, plan, dontAsk, bypassPermissions or auto."
)
@click.option("--directory", metavar="PATH", help="Where it works, under the home.")
@click.option("--max-turns", type=int, metavar="N", help="Turns a run may take.")
@click.option("--max-budget-usd", type=float, metavar="DOLLARS", help="What a run may cost.")
@click.option("--timeout-s", type=float, metavar="SECONDS", help="How long a run may take.")
@click.option("--from", "file", type=click.Path(path_type=Path), help="A Claude Code subagent file to make it of.")
@as_json
@with_client
def create(
    client: AgentClient, name: str | None, agent_id: str | None, file: Path | None, as_json: bool, **given: Any
) -> None:
    """Make an agent: of options, of a subagent file, or of a file with some fields given anew."""
    from . import console, files

    fields = {key: value for key, value in given.items() if value not in (None, ())}
    for key in ("tools", "disallowed_tools", "allowed_tools"):
        if key in fields:
            fields[key] = list(fields[key])
    if fields.get("instructions", "").startswith("@"):
        fields["instructions"] = files.read_text(Path(fields["instructions"][1:]))
    if file is not None:
        file_id, spec = files.read_agent(file)
        fields = {key: getattr(spec, key) for key in spec.model_fields_set} | fields
        name, agent_id = name or fields["name"], agent_id or file_id
        del fields["name"]
    if not name:
        raise click.UsageError("Give a NAME, or a subagent file with --from.")
    agent = client.create_agent(name, id=agent_id, **fields)
    if as_json:
        console.print_json(agent.record)
    else:
        console.say(f"Created {agent.id}. Run it: jupyter agents run {agent.id} 'What to do'")


@cli.command()
@click.argument("agent_id", metavar="AGENT")
@click.argument("prompt", nargs=-1)
@click.option("--continue", "continues", metavar="RUN", help="Go on with this run's conversation.")
@click.option("--revision", type=int, metavar="N", help="An older revision of the agent.")
@click.option("--detach", is_flag=True, help="Start it, say its id, and do not wait.")
@as_json
@with_client
def run(
    client: AgentClient,
    agent_id: str,
    prompt: tuple[str, ...],
    continues: str | None,
    revision: int | None,
    detach: bool,
    as_json: bool,
) -> None:
    """Run AGENT on PROMPT (or what comes on standard input) and show what it does. One that is shared with you is
    OWNER/AGENT.

    Ctrl-C cancels the run. With --json every line is one {"type", "data"}: event, delta, run, and last end.
    """
    from . import console

    text = " ".join(prompt)
    if text in ("", "-"):
        if sys.stdin.isatty() and text != "-":
            raise click.UsageError("Give a PROMPT, or pipe one in.")
        text = sys.stdin.read()
    if not text.strip():
        raise click.UsageError("The prompt is empty.")
    handle = client.run(agent_id, text, continues=continues, revision=revision)
    if detach:
        if as_json:
            console.print_json(handle.record)
        else:
            click.echo(handle.id)
        return
    sys.exit(exit_code(*console.follow(handle, as_json=as_json)))


@cli.command()
@click.argument("agent_id", metavar="AGENT")
@click.option("--person", "people", multiple=True, metavar="NAME", help="With this person.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="With everybody in this group of the hub's.")
@click.option("--copy", is_flag=True, help="They may also make an agent of their own of it.")
@as_json
@with_client
def share(
    client: AgentClient, agent_id: str, people: tuple[str, ...], groups: tuple[str, ...], copy: bool, as_json: bool
) -> None:
    """Share AGENT with people and groups, who run it in their own workspaces and on their own budgets; without names,
    show with whom it is shared."""
    from . import console

    access: Literal["use", "copy"] = "copy" if copy else "use"
    made = [client.share(agent_id, name, access=access) for name in people]
    made += [client.share(agent_id, name, kind="group", access=access) for name in groups]
    shares = client.shares(agent_id)
    if as_json:
        console.print_json([share.record for share in made or shares])
        return
    console.print_table(shares, empty=f"{agent_id} is shared with nobody.")
    for notice in dict.fromkeys(share.notice for share in made if share.notice):
        console.aside(notice)


@cli.command()
@click.argument("agent_id", metavar="AGENT")
@click.option("--person", "people", multiple=True, metavar="NAME", help="With this person.")
@click.option("--group", "groups", multiple=True, metavar="NAME", help="With this group.")
@with_client
def unshare(client: AgentClient, agent_id: str, people: tuple[str, ...], groups: tuple[str, ...]) -> None:
    """Share AGENT no more. Runs that are at work go on; none begins or is resumed."""
    from . import console

    if not people and not groups:
        raise click.UsageError("Say with whom: --person NAME or --group NAME.")
    for name in people:
        client.unshare(agent_id, name)
    for name in groups:
        client.unshare(agent_id, name, kind="group")
    console.say(f"{agent_id} is not shared with {', '.join((*people, *groups))} any more.")


@cli.command()
@as_json
@with_client
def shared(client: AgentClient, as_json: bool) -> None:
    """The agents that others share with you."""
    from ..models import SharedAgent
    from . import console

    found = client.shared()
    if as_json:
        console.print_json([SharedAgent(agent=each.record, access=each.access) for each in found])
    else:
        console.print_table(found, empty="Nobody shares an agent with you.")


@cli.command()
@click.argument("reference", metavar="OWNER/AGENT")
@click.option("--id", "agent_id", metavar="ID", help="The copy's id; else the same, or one like it.")
@as_json
@with_client
def copy(client: AgentClient, reference: str, agent_id: str | None, as_json: bool) -> None:
    """Make an agent of your own of one that is shared with you to copy."""
    from . import console

    agent = client.copy_agent(reference, agent_id)
    if as_json:
        console.print_json(agent.record)
    else:
        console.say(f"Copied {reference} to {agent.id}. Run it: jupyter agents run {agent.id} 'What to do'")


@cli.command()
@click.argument("run_id", metavar="RUN")
@click.argument("prompt", nargs=-1)
@as_json
@with_client
def resume(client: AgentClient, run_id: str, prompt: tuple[str, ...], as_json: bool) -> None:
    """Go on with a RUN that was interrupted, cancelled or failed, and show what it does."""
    from . import console

    handle = client.get_run(run_id)
    seen = handle.record.last_seq
    handle.resume(" ".join(prompt) or None)
    sys.exit(exit_code(*console.follow(handle, as_json=as_json, after=seen)))


@cli.command()
@click.argument("id", metavar="AGENT|RUN")
@click.option("--follow", is_flag=True, help="Of a run: stay with it to its end; its end is the exit code.")
@as_json
@with_client
def show(client: AgentClient, id: str, follow: bool, as_json: bool) -> None:
    """What an agent is, or what a run did."""
    from . import console

    if not RUN_ID.fullmatch(id):
        agent = client.agent(id)
        if as_json:
            console.print_json(agent.record)
        else:
            console.print_agent(agent)
        return
    handle = client.get_run(id)
    if follow:
        sys.exit(exit_code(*console.follow(handle, as_json=as_json, cancel=False)))
    if as_json:
        console.print_json(handle.record)
    else:
        console.print_run(handle)


@cli.command()
@click.argument("agent_id", metavar="[AGENT]", required=False)
@click.option("--status", metavar="STATUS", help="Only those that are queued, running, succeeded, failed ...")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@as_json
@with_client
def runs(client: AgentClient, agent_id: str | None, status: str | None, limit: int, as_json: bool) -> None:
    """Runs, the newest first: of all agents, or of one."""
    from . import console

    found = client.runs(agent_id, status=status, limit=limit)
    if as_json:
        console.print_json([handle.record for handle in found])
    else:
        console.print_table(found, empty="No such runs.")


@cli.command()
@click.argument("run_id", metavar="RUN")
@as_json
@with_client
def cancel(client: AgentClient, run_id: str, as_json: bool) -> None:
    """Stop a run and everything it started."""
    from . import console

    handle = client.get_run(run_id).cancel()
    if as_json:
        console.print_json(handle.record)
    else:
        console.say(f"Cancelling {handle.id}.")


@cli.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--all", "all_", is_flag=True, help="Also those that were decided.")
@as_json
@with_client
def approvals(client: AgentClient, run_id: str | None, all_: bool, as_json: bool) -> None:
    """Tool calls that wait for a person: of all runs, or of one."""
    from . import console

    found = client.approvals(run_id, waiting=None if all_ else True)
    if as_json:
        console.print_json([approval.record for approval in found])
    else:
        console.print_table(found, empty="Nothing waits for you.")


@cli.command()
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--always", type=click.Choice(["run", "agent"]), help="Such calls too: in this run, or with this agent.")
@click.option("--answer", metavar="TEXT", help="To a question.")
@as_json
@with_client
def approve(
    client: AgentClient, approval_id: str, always: Literal["run", "agent"] | None, answer: str | None, as_json: bool
) -> None:
    """Allow a tool call that waits."""
    from . import console

    approval = client.approval(approval_id).allow(always, answer=answer)
    if as_json:
        console.print_json(approval.record)
    else:
        rules = f" From now on: {', '.join(approval.rules)}" if always else ""
        console.say(f"Allowed: {approval.call}.{rules}")


@cli.command()
@click.argument("approval_id", metavar="APPROVAL")
@click.argument("message", nargs=-1)
@as_json
@with_client
def deny(client: AgentClient, approval_id: str, message: tuple[str, ...], as_json: bool) -> None:
    """Deny a tool call that waits; Claude gets to know the MESSAGE."""
    from . import console

    approval = client.approval(approval_id).deny(" ".join(message) or None)
    if as_json:
        console.print_json(approval.record)
    else:
        console.say(f"Denied: {approval.call}.")


@cli.command()
@click.argument("agent_id", metavar="AGENT")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_client
def delete(client: AgentClient, agent_id: str, yes: bool) -> None:
    """Take an agent out of the list. Its runs and revisions stay."""
    from . import console
    from .transcript import clean

    agent = client.agent(agent_id)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: say --yes.")
        click.confirm(f"Delete {agent.id} ({clean(agent.name)})?", abort=True)
    agent.delete()
    console.say(f"Deleted {agent.id}.")


@cli.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@as_json
@with_client
def import_files(client: AgentClient, paths: tuple[Path, ...], as_json: bool) -> None:
    """Make or update agents from Claude Code's subagent files, or from all in a folder (.claude/agents)."""
    from . import console, files

    outcomes = []
    for path in files.subagent_files(paths):
        outcome = files.import_file(client, path)
        outcomes.append(outcome)
        if not as_json:
            console.say(str(outcome), problem=outcome.failed)
    if as_json:
        console.print_json([outcome.as_dict() for outcome in outcomes])
    elif not outcomes:
        console.say("There are no .md files there.", problem=True)
    if not outcomes or any(outcome.failed for outcome in outcomes):
        sys.exit(EXIT_INPUT)


@cli.command()
@click.argument("agent_ids", metavar="[AGENT]...", nargs=-1)
@click.option("--to", type=click.Path(path_type=Path), help="A folder (for NAME.md each) or, for one agent, a file.")
@click.option("--force", is_flag=True, help="Overwrite files that differ.")
@with_client
def export(client: AgentClient, agent_ids: tuple[str, ...], to: Path | None, force: bool) -> None:
    """Write agents as Claude Code's subagent files. Without --to, one agent goes to standard output."""
    from .. import subagents
    from . import console, files

    if to is None:
        if len(agent_ids) != 1:
            raise click.UsageError("Name one AGENT for standard output, or a folder with --to.")
        click.echo(subagents.render(client.agent(agent_ids[0]).record), nl=False)
        return
    agents = [client.agent(agent_id) for agent_id in agent_ids] or list(client.agents())
    outcomes = files.export_agents([agent.record for agent in agents], to, force=force)
    for outcome in outcomes:
        console.say(str(outcome), problem=outcome.failed)
    if any(outcome.failed for outcome in outcomes):
        sys.exit(EXIT_INPUT)


@cli.command()
@click.argument("message", nargs=-1)
@click.option("--conversation", metavar="ID", help="A conversation to go on with.")
@as_json
@with_client
def chat(client: AgentClient, message: tuple[str, ...], conversation: str | None, as_json: bool) -> None:
    """Say in plain words what agent you want. Without MESSAGE: a line a turn, to the end of the input."""
    from . import console

    def say(text: str) -> int:
        nonlocal conversation
        turn = client.say(text, conversation)
        conversation = turn.record.conversation_id
        return exit_code(*console.follow(turn, as_json=as_json))

    if message:
        code = say(" ".join(message))
        if not as_json:
            click.echo(f"Go on with: jupyter agents chat --conversation {conversation} ...", err=True)
        sys.exit(code)
    asks = sys.stdin.isatty()
    code = 0
    while True:
        try:
            text = click.prompt(">", prompt_suffix=" ") if asks else sys.stdin.readline()
        except click.Abort:  # Ctrl-D
            break
        if not text:
            break
        if text.strip():
            code = say(text.strip())
    sys.exit(code)


@cli.command()
@click.option("--hub", metavar="URL", help="A hub; its token is read from JUPYTERHUB_API_TOKEN.")
@click.option("--user", metavar="NAME", help="Whose workspace on that hub; else the token's owner's.")
@click.option("--workspace", metavar="URL", help="A single-user server, instead of a hub.")
@click.option("--socket", metavar="PATH", help="A workspace's unix socket, or the file that names it.")
def mcp(hub: str | None, user: str | None, workspace: str | None, socket: str | None) -> None:
    """Serve agents to an MCP client, such as Claude Code, over standard input and output."""
    import asyncio

    from ..models import Trigger
    from .aio import AsyncAgentClient

    try:
        from .mcp import serve
    except ImportError as error:
        how = "pip install 'jupyterhub-agents[workspace]'"
        raise Refused(f"This takes the package mcp ({error}). Install it: {how}") from error
    # Looked for at each first call, not now: Claude Code may start this before the workspace is ready.
    asyncio.run(
        serve(
            lambda: AsyncAgentClient(
                hub, workspace_url=workspace, user=user, socket=socket, trigger=Trigger.CONVERSATION
            )
        )
    )


def exit_code(run: Run, stopped_here: bool) -> int:
    """The exit code for a run that was followed to its end."""
    if stopped_here and run.status.value == "cancelled":
        return EXIT_CTRL_C
    return EXIT_CODES[run.status.value]


def main() -> None:
    """The console script `jupyter-agents`, which Jupyter finds as `jupyter agents`."""
    try:
        # Not standalone: click would turn Ctrl-C into exit code 1.
        code = cli.main(prog_name="jupyter agents", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_CTRL_C)
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; Python must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
