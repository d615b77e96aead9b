#!/usr/bin/env bash
# Breaks the code in one named way at a time and requires that the model named beside it notices.
#
#   loom-tests/mutants.sh [--list] [--some N] [filter…]
#
# `--some N`: only N of them, of files that changed since the last tag before others.
#
# A mutant is a patch in `mutants/` against the repository's root, below two header lines:
#   model: <filter of the tests that must fail>
#   why: <what is broken>
# and, where the quick tier's bound does not do, `preemptions: <bound>`.
#
# It is killed when the unpatched tests pass, the patch applies, the tree compiles, and the tests then
# fail by a panic: an assertion or loom's report. Anything else survives. Exit code 1 if any does.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
mutants=$here/mutants
subject=model
effort=preemptions
limit=300
paths=(src loom-tests)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target/mutants}
export CARGO_INCREMENTAL=1 CARGO_PROFILE_RELEASE_DEBUG=0
optimized='profile.release.package."*".opt-level=3'

# All models are one target.
build() {
    local out level=0
    # What is to pass is built once and explored to its end; what is to fail, often and not for long: a rebuild of
    # one second, with loom itself optimized, in place of six.
    [[ $2 != */unpatched-* ]] || level=1
    out=$(cd "$work/tree/loom-tests" && CARGO_PROFILE_RELEASE_OPT_LEVEL=$level cargo test --release --config "$optimized" --no-run 2>&1) || {
        grep -A6 '^error' <<<"$out" | head -40
        return 1
    }
    cp "$(sed -n 's/.*Executable.*(\(.*\))$/\1/p' <<<"$out" | head -1)" "$2"
}

run() {
    [[ -z $3 ]] || export LASTCACHE_PREEMPTIONS=$3
    timeout "$limit" "$1" "$2" --nocapture --test-threads=1
}

source "$root/tests/mutants/gate.sh"
