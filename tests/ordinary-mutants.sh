#!/usr/bin/env bash
# Changes the ordinary logic in every small way that cargo-mutants knows, and requires that the tests of
# its file notice.
#
#   tests/ordinary-mutants.sh [--list] [filter…]
#
# What is changed, and what is not and why, stands in .cargo/mutants.toml. Two rounds: the quick tests see
# every mutant, and the slower ones named below only what the quick ones let pass. A test that fails or
# hangs has noticed; what does not compile is no mutant. Exit code 1 if any survives.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
quick=(go_v1 iteration settings)
# Long tests, random programs and stress: what is ordinary shows in the others.
long=(200_000 model:: one_hash_for program:: table:: ten_thousand under_threads while_the_cache_closes)
files=(
    'answer: background capacity counters rules single_flight tasks'
    'builder/check: bad_days inference'
    'builder/mod: background capacity inference thread_hot_set'
    'cache: background capacity'
    'core: background capacity'
    'duty: background rules single_flight tasks'
    'error: inference served single_flight'
    'fifo: background cancelled_waits tasks'
    'hot: bad_days reader thread_hot_set'
    'iter: bad_days capacity'
    'load: background bad_days rules single_flight tasks'
    'lookup: background drops rules single_flight tasks'
    'panics: background bad_days'
    'policy: capacity rules'
    'reader: reader'
    'refresh/job: background tasks'
    'refresh/mod: background bad_days bad_input cancelled_waits task_allocations tasks'
    'served: background served single_flight'
    'stats: background capacity counters single_flight'
    'table/clock: bad_days capacity drops'
    'table/memory: bad_days capacity'
    'table/room: capacity drops'
    'time: background bad_input rules'
)

list=no
filters=()
for argument; do
    case $argument in
        --list) list=yes ;;
        -*)
            echo "usage: $0 [--list] [filter…]" >&2
            exit 2
            ;;
        *) filters+=("$argument") ;;
    esac
done

command -v cargo-mutants >/dev/null || cargo install cargo-mutants --locked --quiet

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
cd "$root"
git ls-files -z --cached --others --exclude-standard -- .cargo Cargo.toml Cargo.lock README.md benches docs examples src tests |
    xargs -0 sh -c 'for f; do [ ! -f "$f" ] || printf "%s\0" "$f"; done' sh |
    xargs -0 cp --parents -t "$work/tree"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/mutants} RUST_BACKTRACE=0
cd "$work/tree"

lines() { cat "$@" 2>/dev/null | wc -l; }

# One round over a file: what the tests let pass is left in `$out/missed.txt`.
round() {
    local file=$1 code=0 tests=()
    shift
    while [[ $1 == --iterate ]]; do
        tests+=("$1")
        shift
    done
    for test; do tests+=("--cargo-arg=--test=$test"); done
    cargo mutants --in-place --no-times --colors never --output "$work/$file" --re "^src/$file.rs" \
        "${tests[@]}" -- -- "${long[@]/#/--skip=}" >"$work/output" 2>&1 || code=$?
    # 2 and 3: some passed, some hung.
    if ((code != 0 && code != 2 && code != 3)); then
        cat "$work/output"
        exit 1
    fi
}

survived=0
for line in "${files[@]}"; do
    file=${line%%:*}
    read -ra slower <<<"${line#*: }"
    chosen=$((${#filters[@]} == 0))
    for filter in "${filters[@]+"${filters[@]}"}"; do
        [[ $file == *"$filter"* ]] && chosen=1
    done
    ((chosen)) || continue
    if [[ $list == yes ]]; then
        cargo mutants --list --re "^src/$file.rs"
        continue
    fi
    out=$work/$file/mutants.out
    mkdir -p "$work/$file"
    start=$SECONDS
    round "$file" "${quick[@]}"
    all=$(cargo mutants --list --re "^src/$file.rs" | wc -l)
    unviable=$(lines "$out/unviable.txt")
    if (($(lines "$out/missed.txt") > 0)); then
        # The second round passes by what is caught.
        cat "$out/timeout.txt" >>"$out/caught.txt"
        round "$file" --iterate "${slower[@]}"
    fi
    missed=$(lines "$out/missed.txt")
    printf '%-14s %3d mutants, %3d caught, %3d do not compile, %d survived (%d s)\n' \
        "$file" "$all" $((all - unviable - missed)) "$unviable" "$missed" $((SECONDS - start))
    [[ $missed == 0 ]] || sed 's/^/SURVIVED /' "$out/missed.txt"
    survived=$((survived + missed))
done
((survived == 0))
