"""Compiles what a workspace imports when it starts: its root may be read-only, and it could not keep that. To compile
all that is installed would make the image larger by 100 MB that few ever use."""

import compileall
import importlib
import re
import sys
import sysconfig

LARGE = (
    "alembic",
    "babel",
    "debugpy",
    "fontTools",
    "jedi",
    "matplotlib",
    "numpy",
    "pandas",
    "PIL",
    "pip",
    "pygments",
    "sqlalchemy",
)
"""Of these what the following import, and no more."""
IMPORTED = (
    "claude_agent_sdk",
    "debugpy.server.api",
    "ipykernel.kernelapp",
    "ipywidgets",
    "jedi.api",
    "jupyterhub.singleuser.app",
    "jupyterlab.labapp",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "mcp.server",
    "nbclient",
    "numpy",
    "pandas",
    "pip._internal.cli.main",
)

packages = sysconfig.get_path("purelib")
skipped = re.compile(rf"{re.escape(packages)}/({'|'.join(LARGE)})/")
if not compileall.compile_dir(packages, quiet=1, rx=skipped):
    sys.exit("something does not compile")
for name in IMPORTED:
    importlib.import_module(name)
