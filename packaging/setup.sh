#!/bin/sh
# Set-up of a checkout. Usage: packaging/setup.sh run | test | bench
#
#   run    .venv with what the suite needs, the checkout itself installed in it
#   test   that, the tools of the tests, and the real peers that the tests talk to
#   bench  that, Debian's rtpengine, and Sippy's B2BUA in an environment of its own
#
# Nothing is done twice: .venv carries a stamp of what it was made from, and is made anew when
# setup.cfg or the interpreter changes; the native data plane when its sources change. PYTHON names another interpreter than python3.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
purpose=${1:?run, test or bench}
mkdir -p .cache

say() { printf 'set-up: %s\n' "$*"; }
refuse() { printf 'set-up: %s\n' "$*" >&2; exit 1; }

check_interpreter() {
    command -v "$python" >/dev/null || refuse "no $python here; install Debian's python3-venv"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        refuse "$python is older than Python 3.11; name a newer one: make PYTHON=..."
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        refuse "$python cannot make a virtual environment; install Debian's python3-venv"
}

made_from() {
    "$python" -c 'import sys; print(sys.version, sys.executable)'
    pwd
    cat setup.cfg pyproject.toml setup.py packaging/setup.sh
}

native_made_from() {
    cat suite/datapath/_native.pyx suite/datapath/native/*
}

make_venv() {
    say "making .venv with $("$python" --version); the first time takes a minute"
    rm -rf .venv
    "$python" -m venv .venv
    install_checkout .
    printf '%s\n' "$1" > .venv/made-from
    native_made_from | sha256sum > .venv/native-made-from
}

# The plain editable install puts an import hook in place of a path, and Twisted looks for
# plugins on the path only; the compat mode writes the path.
install_checkout() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --config-settings editable_mode=compat --editable "$1"
}

# Two makes at once would take .venv from under each other.
exec 9> .cache/set-up.lock
if command -v flock >/dev/null; then flock 9; fi

check_interpreter
stamp=$(made_from | sha256sum)
[ "$(cat .venv/made-from 2>/dev/null)" = "$stamp" ] || make_venv "$stamp"
native=$(native_made_from | sha256sum)
if [ "$(cat .venv/native-made-from 2>/dev/null)" != "$native" ]; then
    say "building the native data plane anew"
    install_checkout .
    printf '%s\n' "$native" > .venv/native-made-from
fi
[ "$purpose" != run ] || exit 0

if [ ! -e .venv/has-test-tools ]; then
    say "adding the tools of the tests"
    install_checkout '.[dev]'
    touch .venv/has-test-tools
fi
packaging/peers.sh "$purpose"
[ "$purpose" = bench ] || exit 0

# What Sippy needs is nothing that the suite needs, so .venv stays as it is.
sippy=sippy==2.5.0
if [ "$(cat .cache/sippy/made-from 2>/dev/null)" != "$sippy" ]; then
    say "adding $sippy, whose B2BUA calls are compared with"
    rm -rf .cache/sippy
    "$python" -m venv .cache/sippy
    .cache/sippy/bin/python -m pip install --quiet --disable-pip-version-check "$sippy"
    printf '%s\n' "$sippy" > .cache/sippy/made-from
fi
