#!/bin/sh
# Pins the newest versions that fit pyproject.toml. $1: the environment's bin folder, which has uv.
set -eu
bin=$1
UV_CUSTOM_COMPILE_COMMAND='make lock'
export UV_CUSTOM_COMPILE_COMMAND

compile() {
    file=requirements/$1.txt
    shift
    echo "Pinning $file ..."
    "$bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links "$@" pyproject.toml --output-file "$file"
}

compile test --extra firestore --extra hub --extra service --extra workspace --group build --group test --group check
compile run --extra hub --extra service --extra workspace --group build --constraint requirements/test.txt
"$bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --group lock --output-file requirements/lock.txt
