"""What the magics take: their options, told by `--help` and by every mistake."""

from __future__ import annotations

import argparse
import shlex
from typing import NoReturn

from IPython.core.error import UsageError

AGENTS = """\
Agents of this workspace.

  %agents                      your agents, as a table
  %agents show ID              one of them
  %agents new NAME ...         make one; %%agents new NAME takes the cell as its instructions
  %agents runs [ID]            runs, the newest first
  %agents approvals            tool calls that wait for you
  %agents allow APPROVAL       let one be made
  %agents deny APPROVAL [WHY]  refuse one
  %agents cancel RUN           stop a run
  %agents connect HUB          use the workspace of another hub, with the token in JUPYTERHUB_API_TOKEN

%agents COMMAND --help has the options of each. %%agent NAME runs an agent: %agent --help.
"""
AGENT = """\
Run an agent with the cell below as the prompt (or in one line: %agent NAME "the prompt"), and show what it does.

Interrupting the cell cancels the run. When the agent wants to do what needs your consent, the cell asks
you. Its last words land in the variable `agent_result`, the run in `agent_run`; --out and --run name others.
"""


class _HelpAsked(Exception):
    """Not a mistake: the help is shown instead."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in the notebook's way, and never ends the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n{self.format_usage().strip()}  (--help tells more)")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise _HelpAsked(message or "")


def parsed(parser: Parser, line: str) -> argparse.Namespace | None:
    """The options of a line; None when help was asked for, and has been shown. Raises UsageError."""
    try:
        return parser.parse_args(shlex.split(line))
    except _HelpAsked:
        return None
    except ValueError as error:  # an open quote
        raise UsageError(f"{error}: {line}") from None


def agent_parser() -> Parser:
    parser = Parser(
        prog="%%agent",
        description=AGENT,
        usage="%(prog)s NAME [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the agent's id; Tab completes it")
    parser.add_argument("prompt", metavar="WORD", nargs="*", help="with %%agent NAME in one line: what it should do")
    parser.add_argument("-o", "--out", metavar="VAR", default="agent_result", help="where its last words go")
    parser.add_argument("-r", "--run", metavar="VAR", default="agent_run", help="where the run goes")
    parser.add_argument(
        "-t", "--tool", metavar="FUNCTION", action="append", default=[],
        help="a function of this notebook that it may call; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "-c", "--continue", dest="continues", metavar="RUN", nargs="?", const="",
        help="go on with the conversation of a run: its variable or id; without one, of the last run here",
    )  # fmt: skip
    parser.add_argument("--revision", type=int, metavar="N", help="run an older revision")
    parser.add_argument(
        "-b", "--background", action="store_true", help="do not wait: the run shows live, and the cell is free"
    )
    return parser


def agents_parser() -> Parser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="%agents", description=AGENTS, formatter_class=raw, usage="%(prog)s [COMMAND] ...")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser, help=argparse.SUPPRESS)
    commands.add_parser("list", help="your agents")
    show = commands.add_parser("show", description="One agent, or with --instructions all it is told.")
    show.add_argument("id")
    show.add_argument("-i", "--instructions", action="store_true")
    show.add_argument("--revision", type=int, metavar="N")
    new = commands.add_parser("new", description="Make an agent. With %%agents the cell is its instructions.")
    new.add_argument("name")
    new.add_argument("--id", help="without it, one is made of the name")
    new.add_argument("-d", "--description", default="", metavar="TEXT")
    new.add_argument("-i", "--instructions", default="", metavar="TEXT")
    new.add_argument("-m", "--model", metavar="MODEL")
    new.add_argument(
        "-t",
        "--tool",
        action="append",
        metavar="RULE",
        help='such as Read or "Bash(git diff:*)"; without any, all tools',
    )
    new.add_argument("-a", "--allow", action="append", default=[], metavar="RULE", help="calls that need no consent")
    new.add_argument("--permission-mode", default="default", metavar="MODE")
    new.add_argument("--directory", metavar="FOLDER", help="where it works, under the home")
    new.add_argument("--max-budget-usd", type=float, metavar="DOLLARS")
    runs = commands.add_parser("runs", description="Runs, the newest first.")
    runs.add_argument("id", nargs="?", help="of this agent alone")
    runs.add_argument("-s", "--status", metavar="STATUS")
    runs.add_argument("-n", "--limit", type=int, default=20, metavar="N")
    approvals = commands.add_parser("approvals", description="Tool calls that wait for you.")
    approvals.add_argument("-a", "--all", action="store_true", help="those that were decided too")
    allow = commands.add_parser("allow", description="Let a tool call be made.")
    allow.add_argument("approval")
    allow.add_argument("--always", choices=("run", "agent"), help="and such calls from now on")
    allow.add_argument("--answer", metavar="TEXT", help="to a question")
    deny = commands.add_parser("deny", description="Refuse a tool call.")
    deny.add_argument("approval")
    deny.add_argument("why", nargs="*", help="what the agent is told")
    cancel = commands.add_parser("cancel", description="Stop a run and all that it started.")
    cancel.add_argument("run")
    connect = commands.add_parser("connect", description="Use the workspace of a hub; without one, the workspace here.")
    connect.add_argument("hub", nargs="?")
    connect.add_argument("--user", help="whose workspace, if not the token's owner's")
    return parser
