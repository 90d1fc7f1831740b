#!/bin/sh
# Stands in for cargo while the napi CLI builds the addon. The CLI runs `cargo build`, which builds the library for Rust's
# tests as well, and leaves link-time optimisation out for that. Only `cargo rustc` can be told to make the addon alone.
# The same for cargo-zigbuild, which takes the oldest glibc that the addon is for with the target.
set -eu

case "${1-}" in
build)
    shift
    set -- cargo rustc --lib --crate-type cdylib "$@" ${LINK_ARGUMENT:+-- -C "link-arg=$LINK_ARGUMENT"}
    ;;
zigbuild)
    shift
    for argument; do
        shift
        case "$argument" in
        *-linux-gnu) argument="$argument${OLDEST_GLIBC:+.$OLDEST_GLIBC}" ;;
        esac
        set -- "$@" "$argument"
    done
    set -- cargo-zigbuild rustc --lib --crate-type cdylib "$@"
    ;;
*)
    set -- cargo "$@"
    ;;
esac
exec "$@"
