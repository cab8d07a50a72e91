#!/bin/sh
# Writes the bindings anew from `wit/v0.1`, or compares them with `--check`. Needs wit-bindgen 0.63.0:
#   cargo install wit-bindgen-cli --version 0.63.0 --locked --no-default-features --features c
set -eu
cd "$(dirname "$0")"
fresh=$(mktemp -d)
trap 'rm -r "$fresh"' EXIT
for world in capabilities executor hooks collector; do
    wit-bindgen c ../../../../wit/v0.1 worlds.wit --world "apflow:c/$world" --no-helpers --out-dir "$fresh" > /dev/null
    if [ "${1:-}" = --check ]; then
        cmp "$fresh/$world.c" "$world.c"
        cmp "$fresh/$world.h" "$world.h"
        cmp "$fresh/${world}_component_type.o" "../${world}_component_type.o"
    else
        cp "$fresh/$world.c" "$fresh/$world.h" .
        cp "$fresh/${world}_component_type.o" ..
    fi
done
