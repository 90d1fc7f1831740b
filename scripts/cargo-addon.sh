#!/bin/sh
# Stands in for cargo while the napi CLI builds the addon. The CLI runs `cargo build`, which builds the library for Rust's
# tests as well, and leaves link-time optimisation out for that. Only `cargo rustc` can be told to make the addon alone.
set -eu

if [ "${1-}" = build ]; then
    shift
    set -- rustc --lib --crate-type cdylib "$@"
fi
exec cargo "$@"
