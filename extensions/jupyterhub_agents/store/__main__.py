"""`python -m jupyterhub_agents.store`: the same as `jupyter agents-store`."""

from .command import main

main()
