"""Claude Code in a browser terminal: ttyd behind jupyter-server-proxy, tmux underneath.

entry.py        what jupyter-server-proxy is told
last_input.py   when a person last typed
launch.py       the process it starts: becomes ttyd, or a page that says what is missing
first_start.py  spares a newcomer Claude Code's first-start questions
attach.sh       what ttyd runs for each connection: attaches to the one tmux session
session.sh      what runs in that session: Claude Code, then a shell
"""
