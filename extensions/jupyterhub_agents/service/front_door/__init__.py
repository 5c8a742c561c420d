"""The front door: with a JupyterHub token, from outside to the agents of a workspace, which it wakes when it sleeps."""
