"""`python -m jupyterhub_agents.client`: the same as `jupyter agents`."""

from .cli import main

main()
