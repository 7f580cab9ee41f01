#!/bin/sh
# The driver for Microsoft's JavaScript client: `run.sh install` installs the client, `run.sh drive` runs the driver,
# `run.sh bench` does what "make bench" measures, `run.sh quickstart send|receive ...` runs a program that was written after
# Microsoft's quickstart, and `run.sh trace send|receive` one that prints its spans.
set -eu
cd "$(dirname "$0")"

install() {
    if cmp -s package-lock.json node_modules/.installed; then
        return
    fi
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
    cp package-lock.json node_modules/.installed
}

case "${1:-}" in
    install) install ;;
    drive)
        if [ -n "${INTEROP_CA:-}" ]; then
            export NODE_EXTRA_CA_CERTS="$INTEROP_CA"
        fi
        exec node driver.mjs
        ;;
    bench)
        shift
        exec node bench.mjs "$@"
        ;;
    trace) exec node trace.cjs "$2" ;;
    quickstart)
        program=$2
        shift 2
        exec node "quickstart/$program.mjs" "$@"
        ;;
    *)
        echo "usage: run.sh install | drive | bench ... | trace send|receive | quickstart send|receive ..." >&2
        exit 2
        ;;
esac
