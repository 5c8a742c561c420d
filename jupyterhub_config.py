from hub_config import configure

configure(c)  # noqa: F821 - JupyterHub gives it
