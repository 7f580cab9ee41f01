#!/bin/sh
# The driver for Microsoft's Python client: `run.sh install` installs the client, `run.sh drive` runs the driver,
# `run.sh bench` does what "make bench" measures, `run.sh quickstart send|receive|watch ...` runs a program that was written after
# Microsoft's quickstart, and `run.sh trace send|receive` one that prints its spans.
set -eu
cd "$(dirname "$0")"

install() {
    if cmp -s requirements.txt .venv/requirements.txt; then
        return
    fi
    rm -rf .venv
    python3 -m venv .venv >&2
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r requirements.txt >&2
    cp requirements.txt .venv/requirements.txt
}

quickstart() {
    program=$1
    shift
    if [ "$program" = receive ]; then
        program=recv
    fi
    exec .venv/bin/python "quickstart/$program.py" "$@"
}

case "${1:-}" in
    install) install ;;
    drive) exec .venv/bin/python driver.py ;;
    bench)
        shift
        exec .venv/bin/python bench.py "$@"
        ;;
    trace) exec .venv/bin/python trace.py "$2" ;;
    quickstart)
        shift
        quickstart "$@"
        ;;
    *)
        echo "usage: run.sh install | drive | bench ... | trace send|receive | quickstart send|receive|watch ..." >&2
        exit 2
        ;;
esac
