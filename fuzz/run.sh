#!/usr/bin/env bash
# Fuzzes each target for so many seconds (default 30), from the seeds; fails if one finds something.
# What it found is then in artifacts/<target>/, and `cargo +nightly fuzz run <target> <file>` repeats it.
# The seeds are copied: a run adds to the copy, and leaves no trace but the artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
export CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-2}

command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
limits=(-timeout=20 -rss_limit_mb=2048 -max_len=1024 -verbosity=0)

cargo +nightly fuzz build
for target in ops builder threads; do
    printf '%s: %s s\n' "$target" "$seconds"
    corpus=$scratch/$target
    cp -r "fuzz/seeds/$target" "$corpus"
    # To look for leaks after every input takes ten times as long as the input. So not while searching,
    # but once for each input that was worth keeping.
    cargo +nightly fuzz run "$target" "$corpus" -- \
        "${limits[@]}" -max_total_time="$seconds" -len_control=0 -detect_leaks=0
    cargo +nightly fuzz run "$target" "$corpus" -- "${limits[@]}" -runs=0
    printf '%s: nothing found, %s inputs kept\n' "$target" "$(find "$corpus" -type f | wc -l)"
done
