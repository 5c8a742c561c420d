#!/bin/sh
# Makes the virtual environment $1, with the Python $2 or the first on PATH that will do. One that it did not make
# itself is somebody's: it is never touched.
set -eu
venv=$1
wanted=${2:-}
mark=$venv/.made-by-make

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

fail() {
    echo "jupyterhub-agents: $1" >&2
    exit 1
}

python=
if [ -n "$wanted" ]; then
    command -v "$wanted" >/dev/null || fail "there is no PYTHON=$wanted. Name a Python 3.11, 3.12 or 3.13."
    fits "$wanted" ||
        fail "PYTHON=$wanted is $("$wanted" --version 2>&1 | head -n 1); Python 3.11, 3.12 or 3.13 is needed."
    python=$wanted
else
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] ||
        fail "Python 3.11, 3.12 or 3.13 is needed and none is on PATH. Install one, or name it: make run PYTHON=/path/to/python3.12"
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python has no venv module. On Debian or Ubuntu: sudo apt install python3-venv"

if [ -f "$mark" ]; then
    rm -rf "$venv" # half made, or to be made again
elif [ -e "$venv" ]; then
    fail "$venv is there and not made by make, so it stays as it is. Move it away, or take another: make run VENV=.venv-agents"
fi

echo "Making $venv with $("$python" --version) ..."
mkdir -p "$venv"
: > "$mark"
"$python" -m venv "$venv" || fail "could not make $venv: see above."
