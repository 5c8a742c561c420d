#!/bin/sh
# What ttyd runs for each connection: attaches to the one session, or starts it. Any page can lead to an address with an
# argument, so one is only looked for among the Claude sessions that the server made ready: a file each, with its folder.
here=${0%/*}
umask "$AGENTS_TERMINAL_UMASK"
name=claude
folder=$HOME
case "$1" in
"" | *[!0-9a-f-]*) set -- ;;
*)
    if [ -f "$AGENTS_TERMINAL_FOLDER/sessions/$1" ]; then
        name=claude-$1
        folder=$(cat "$AGENTS_TERMINAL_FOLDER/sessions/$1")
        set -- --resume "$1"
    else
        set --
    fi
    ;;
esac
exec tmux -u -f "$here/tmux.conf" -S "$AGENTS_TERMINAL_FOLDER/tmux.sock" \
    new-session -A -s "$name" -c "$folder" /bin/sh "$here/session.sh" "$@"
