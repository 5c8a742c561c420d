#!/bin/sh
# What runs in the session: Claude Code, then a shell, so that leaving the one does not end the terminal.
if [ -n "$AGENTS_TERMINAL_NOTICE" ]; then
    printf '%s\n' "$AGENTS_TERMINAL_NOTICE"
    # Claude Code's own first choice, auto mode, has calls checked by a service that no demo model offers.
    set -- --permission-mode default "$@"
fi
if command -v claude >/dev/null; then
    claude "$@"
    printf '\nClaude Code has ended. Start it again with: claude\n'
else
    printf 'Claude Code was not found here. Install it with: pip install claude-agent-sdk\n'
fi
exec "${SHELL:-/bin/sh}" -i
