#!/bin/sh
# The driver for Microsoft's Java client: `run.sh install` builds it, `run.sh drive` runs it,
# `run.sh quickstart send|receive …` a program written after Microsoft's quickstart.
set -eu
case "${INTEROP_CA:-/}" in
    /*) ;;
    *) INTEROP_CA=$PWD/$INTEROP_CA ;;
esac
cd "$(dirname "$0")"

# What was built is good for as long as the sources are these.
sources() {
    find pom.xml src -type f | LC_ALL=C sort | xargs cksum
}

install() {
    if [ -f target/sources ] && [ "$(sources)" = "$(cat target/sources)" ]; then
        return
    fi
    rm -rf target
    mvn -q -B package >&2
    sources >target/sources
}

# Java reads whom it trusts from a store in a format of its own: one is made for each CA, which holds nothing else.
truststore() {
    store=target/ca-$(cksum <"$1" | tr ' ' -).p12
    if [ ! -f "$store" ]; then
        keytool -importcert -noprompt -alias interop -file "$1" -keystore "$store.$$" -storetype PKCS12 -storepass interop >&2
        mv "$store.$$" "$store"
    fi
}

drive() {
    set -- -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Dorg.slf4j.simpleLogger.defaultLogLevel="${INTEROP_LOG:-off}" \
        -cp 'target/driver.jar:target/lib/*'
    if [ -n "${INTEROP_CA:-}" ]; then
        truststore "$INTEROP_CA"
        set -- -Djavax.net.ssl.trustStore="$store" -Djavax.net.ssl.trustStorePassword=interop "$@"
    fi
    exec java "$@" interop.Main
}

quickstart() {
    exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel="${INTEROP_LOG:-off}" \
        -cp 'target/driver.jar:target/lib/*' "quickstart.$@"
}

case "${1:-} ${2:-}" in
    "install " | "drive ") "$1" ;;
    "quickstart send") shift 2 && quickstart Sender "$@" ;;
    "quickstart receive") shift 2 && quickstart Receiver "$@" ;;
    *)
        echo "usage: run.sh install | drive | quickstart send|receive …" >&2
        exit 2
        ;;
esac
