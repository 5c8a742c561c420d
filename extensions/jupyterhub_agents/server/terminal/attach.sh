#!/bin/sh
# What ttyd runs for each connection: attaches to the one session, or starts it.
here=${0%/*}
umask "$AGENTS_TERMINAL_UMASK"
exec tmux -u -f "$here/tmux.conf" -S "$AGENTS_TERMINAL_FOLDER/tmux.sock" \
    new-session -A -s claude -c "$HOME" /bin/sh "$here/session.sh"
