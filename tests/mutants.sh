#!/usr/bin/env bash
# Breaks the code in one named way at a time and requires that the test named beside it notices.
#
#   tests/mutants.sh [--list] [--some N] [filter…]
#
# `--some N`: only N of them, of files that changed since the last tag before others.
#
# A mutant is a patch in `mutants/` against the repository's root, below two header lines:
#   test: <file in tests> <filter of the tests that must fail>
#   why: <what is broken>
# and, where the usual number of attempts does not do, `stress: <factor>`.
#
# It is killed as a model's mutant is: see loom-tests/mutants.sh. Exit code 1 if any survives.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
mutants=$here/mutants
subject=test
effort=stress
limit=120
paths=(Cargo.toml Cargo.lock src tests benches examples docs README.md)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/mutants}

# What is not this crate's own was built by `cargo test` already, if that came before.
seed() {
    local from=$root/target/debug to=$CARGO_TARGET_DIR/debug
    [[ -d $from/.fingerprint && ! -d $to ]] || return 0
    mkdir -p "$to/deps"
    cp -a "$from/.fingerprint" "$from/build" "$to"
    rm -rf "$to"/.fingerprint/lastcache-*
    find "$from/deps" -type f -name '*.*' ! -name '*lastcache*' -exec cp -a -t "$to/deps" {} +
}
[[ ${1:-} == --list ]] || seed

build() {
    local out
    out=$(cd "$work/tree" && cargo test --test "$1" --no-run 2>&1) || {
        grep -A6 '^error' <<<"$out" | head -40
        return 1
    }
    cp "$(sed -n 's/.*Executable.*(\(.*\))$/\1/p' <<<"$out" | head -1)" "$2"
}

run() {
    [[ -z $3 ]] || export LASTCACHE_STRESS=$3
    timeout "$limit" "$1" "$2" --nocapture --test-threads=1
}

source "$root/tests/mutants/gate.sh"
