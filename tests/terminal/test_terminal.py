"""The terminal as a browser meets it: a real Jupyter server, ttyd, tmux and the real Claude Code CLI."""

from __future__ import annotations

import asyncio
import shutil
import signal
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import InvalidStatus

from jupyterhub_agents.server.terminal.last_input import LastInput
from tests.terminal.workspace import NOTICE, SECRETS, Terminal, Workspace, screen, until, workspace


def test_a_newcomer_lands_at_a_prompt_that_works(server: Workspace) -> None:
    with server.terminal() as terminal:
        terminal.read_until("Claude Code v")
        until("the prompt", lambda: "for shortcuts" in screen(server))
        terminal.type("please list")
        until("the words in the prompt", lambda: "please list" in screen(server))
        terminal.type("\r")
        terminal.read_until("That was everything.")


def test_the_page_loads_under_the_base_url(server: Workspace) -> None:
    page = server.http.get("claude-code/")
    assert page.status_code == 200
    assert page.headers["server"].startswith("ttyd/1.7")
    assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert server.http.get("claude-code/token").json() == {"token": ""}


def test_the_launcher_has_a_tile_with_an_icon(server: Workspace) -> None:
    (entry,) = server.http.get("server-proxy/servers-info").json()["server_processes"]
    assert entry["launcher_entry"]["title"] == "Claude Code"
    assert entry["launcher_entry"]["path_info"] == "claude-code/"
    icon = server.http.get(f"{server.url.partition('/user')[0]}{entry['launcher_entry']['icon_url']}")
    assert icon.headers["content-type"] == "image/svg+xml"
    assert "<svg" in icon.text


def test_the_output_of_a_typed_command_comes_back(shell: Terminal) -> None:
    shell.type("echo $((6 * 7))-and-more; pwd\r")
    shell.read_until("42-and-more")


def test_claude_is_on_path_and_the_home_is_the_place(server: Workspace, shell: Terminal) -> None:
    shell.type("claude --version; pwd; umask\r")
    shell.read_until("(Claude Code)")
    shell.read_until(f"{server.home}")
    shell.read_until("0022")


def test_a_reload_finds_the_same_session(server: Workspace, shell: Terminal) -> None:
    shell.type("kept=still-here; echo set-$((1 + 1))\r")
    shell.read_until("set-2")
    shell.socket.close()
    with server.terminal() as again:
        again.type("echo $kept-$kept\r")
        again.read_until("still-here-still-here")


def test_two_tabs_show_the_same(server: Workspace, shell: Terminal) -> None:
    with server.terminal() as other:
        shell.type("echo seen-by-$((1 + 1))\r")
        other.read_until("seen-by-2")


def test_a_scripted_model_is_announced(server: Workspace, shell: Terminal) -> None:
    with server.terminal() as terminal:
        terminal.read_until(NOTICE)


def test_the_sockets_are_for_the_owner_alone(server: Workspace, shell: Terminal) -> None:
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    until("the mode of ttyd's socket", lambda: stat.S_IMODE((server.folder / "ttyd.sock").stat().st_mode) == 0o600)
    # tmux marks a session that is looked at by the owner's x.
    assert stat.S_IMODE((server.folder / "tmux.sock").stat().st_mode) in (0o600, 0o700)


def test_who_is_not_signed_in_gets_nothing(server: Workspace) -> None:
    for path in ("claude-code/", "claude-code/token", "claude-code/ws"):
        answer = httpx.get(server.url + path, timeout=10)
        assert answer.status_code in (302, 403)
        assert "ttyd" not in answer.headers.get("server", "")
    with pytest.raises(InvalidStatus, match="403"), server.terminal(Authorization="token wrong"):
        pass


def test_a_page_of_another_site_cannot_connect(server: Workspace) -> None:
    server.http.get("claude-code/")
    cookies = "; ".join(f"{name}={value}" for name, value in server.http.cookies.items())
    with (
        pytest.raises(InvalidStatus, match="403"),
        server.terminal(Cookie=cookies, Origin="https://elsewhere.example"),
    ):
        pass


def test_no_process_of_the_terminal_knows_a_secret(server: Workspace, shell: Terminal) -> None:
    shell.type("env | sort > seen; echo written-$?\r")
    shell.read_until("written-0")
    names = {line.partition("=")[0] for line in (server.home / "seen").read_text().splitlines()}
    assert not {
        name for name in names if "TOKEN" in name or "SECRET" in name or name.startswith(("JPY_", "JUPYTERHUB_"))
    }
    assert {"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "HOME", "PATH"} <= names
    for process in server.below().values():
        content = b""
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            content = Path(f"/proc/{process.pid}/environ").read_bytes()
        assert not [value for value in SECRETS.values() if value.encode() in content], process.cmdline()


def test_an_idle_terminal_is_no_activity(server: Workspace, shell: Terminal) -> None:
    shell.type("for i in 1 2 3; do echo tick-$i; sleep 0.3; done\r")
    before = server.http.get("api/status").json()["last_activity"]
    with server.terminal() as other:
        other.socket.ping().wait(5)
        shell.read_until("tick-3")
    assert server.http.get("api/status").json()["last_activity"] == before


def test_typing_is_input_and_neither_output_nor_a_connection_is(server: Workspace, shell: Terminal) -> None:
    last_input = LastInput(server.folder / "tmux.sock")
    begun = datetime.now(UTC).replace(microsecond=0)
    time.sleep(1.1)  # tmux tells whole seconds, and counts what follows a connection in its own second as that
    shell.type("(sleep 2.5; echo la''te) &\r")
    shell.read_until("late")
    typed = until("the time of the input", lambda: asyncio.run(last_input.ask()))
    assert begun < typed
    with server.terminal() as again:
        again.read_until("late")
        time.sleep(1.1)
        assert asyncio.run(last_input.ask()) == typed


def test_no_input_is_known_of_a_terminal_that_was_not_opened(tmp_path: Path) -> None:
    assert asyncio.run(LastInput(tmp_path / "tmux.sock").ask()) is None


def test_the_session_begins_anew_when_its_shell_has_ended(server: Workspace, shell: Terminal) -> None:
    shell.type("exit\r")
    until("the end of the session", lambda: not screen(server))
    with server.terminal() as again:
        again.read_until("Claude Code v")


def test_kill_9_of_the_server_leaves_no_process(tmp_path: Path, path: str) -> None:
    with workspace(tmp_path, path, {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "none"}) as server:
        with server.terminal() as terminal:
            terminal.read_until("Claude Code v")
            below = server.below()
            assert {"ttyd", "claude", "tmux: server"} <= server.running()
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(5)
        left = psutil.wait_procs(list(below.values()), timeout=30)[1]
        assert not left
        # Nobody is left to do this but the next server of this account, which may be another test's, and soon.
        for folder in server.folders():
            shutil.rmtree(folder, ignore_errors=True)


def test_a_server_with_an_open_terminal_stops_in_order(tmp_path: Path, path: str) -> None:
    with workspace(tmp_path, path) as server:
        info = tmp_path / "runtime" / f"jpserver-{server.process.pid}.json"
        folder = server.folder
        assert server.http.get("claude-code/").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
        # The server takes its own record away only when it stops in order.
        assert not info.exists()
        assert not folder.exists()


def test_without_ttyd_the_page_says_how_to_get_it_and_goes_on_when_it_is_there(
    tmp_path: Path, ttyd_program: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    tmux = shutil.which("tmux")
    assert tmux
    (tools / "tmux").symlink_to(tmux)
    with workspace(tmp_path, str(tools)) as server:
        page = server.http.get("claude-code/")
        assert page.status_code == 503
        assert "jupyterhub_agents.server.ttyd install" in page.text
        assert server.http.get("api/status").status_code == 200
        (tools / "ttyd").symlink_to(ttyd_program)
        page = server.http.get("claude-code/")
        assert page.status_code == 200
        until("ttyd's page", lambda: is_ttyd(server))
        with server.terminal() as terminal:
            terminal.read_until("Claude Code")


def is_ttyd(server: Workspace) -> bool:
    return str(server.http.get("claude-code/").headers.get("server")).startswith("ttyd")
