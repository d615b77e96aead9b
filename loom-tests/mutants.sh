#!/usr/bin/env bash
# Breaks the code in one named way at a time and requires that the model named beside it notices.
#
#   loom-tests/mutants.sh [--list] [--some N] [filter…]
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
limit=300

list=no
some=0
filters=()
while (($#)); do
    case $1 in
        --list) list=yes ;;
        --some)
            some=${2:?--some needs a number}
            shift
            ;;
        -*)
            echo "usage: $0 [--list] [--some N] [filter…]" >&2
            exit 2
            ;;
        *) filters+=("$1") ;;
    esac
    shift
done

mutants=()
for patch in "$here"/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    chosen=$((${#filters[@]} == 0))
    for filter in "${filters[@]+"${filters[@]}"}"; do
        [[ $name == *"$filter"* ]] && chosen=1
    done
    ((chosen)) && mutants+=("$name")
done
if ((some > 0 && some < ${#mutants[@]})); then
    # Spread over all models, the same ones every time.
    spread=()
    for ((at = 0; at < some; at++)); do
        spread+=("${mutants[at * ${#mutants[@]} / some]}")
    done
    mutants=("${spread[@]}")
fi
if ((${#mutants[@]} == 0)); then
    echo "no mutant of that name" >&2
    exit 2
fi

header() { sed -n "s/^$2: //p;/^--- /q" "$here/mutants/$1.patch"; }

if [[ $list == yes ]]; then
    for name in "${mutants[@]}"; do
        printf '%-44s %-44s %s\n' "$name" "$(header "$name" model)" "$(header "$name" why)"
    done
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/clean"
git -C "$root" ls-files -z --cached --others --exclude-standard -- src loom-tests |
    (cd "$root" && xargs -0 sh -c 'for f; do [ ! -f "$f" ] || printf "%s\0" "$f"; done' sh) |
    (cd "$root" && xargs -0 cp --parents -t "$work/clean")
cp -r "$work/clean" "$work/tree"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target/mutants}
export RUST_BACKTRACE=0
# Mutants are built often and run briefly: a rebuild of some seconds in place of half a minute.
export CARGO_INCREMENTAL=1 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0

# Builds the tests of the tree into the named file.
build() {
    local out
    out=$(cd "$work/tree/loom-tests" && cargo test --release --no-run 2>&1) || {
        grep -A6 '^error' <<<"$out" | head -40
        return 1
    }
    cp "$(sed -n 's/.*Executable.*(\(.*\))$/\1/p' <<<"$out" | head -1)" "$1"
}

# Runs the tests of a filter; the output is left in a file.
run() {
    (
        [[ -z $3 ]] || export LASTCACHE_PREEMPTIONS=$3
        timeout "$limit" "$1" "$2" --nocapture --test-threads=1 >"$work/output" 2>&1
    ) 2>/dev/null
}

build "$work/unpatched" || {
    echo "the tree does not compile" >&2
    exit 1
}

declare -A unpatched
passes() {
    local key="$1/$2"
    if [[ -z ${unpatched[$key]:-} ]]; then
        if run "$work/unpatched" "$1" "$2" && ! grep -q '^running 0 tests' "$work/output"; then
            unpatched[$key]=yes
        else
            unpatched[$key]=no
        fi
    fi
    [[ ${unpatched[$key]} == yes ]]
}

killed=0
survived=0
for name in "${mutants[@]}"; do
    patch=$here/mutants/$name.patch
    model=$(header "$name" model)
    bound=$(header "$name" preemptions)
    start=$SECONDS
    verdict=
    if [[ -z $model || -z $(header "$name" why) ]]; then
        verdict='it names no model or no reason'
    elif ! passes "$model" "$bound"; then
        verdict="the unpatched $model does not pass"
    elif ! patch -s -p1 -d "$work/tree" --no-backup-if-mismatch <"$patch" >"$work/output"; then
        verdict='the patch does not apply'
    elif ! build "$work/patched" >"$work/output"; then
        verdict="it does not compile: $(head -3 "$work/output" | tr '\n' ' ')"
    else
        begun=$SECONDS
        code=0
        run "$work/patched" "$model" "$bound" || code=$?
        if ((code == 0)); then
            verdict="$model passes"
        elif ((code == 124)); then
            verdict="$model runs for more than $limit s"
        elif grep -q 'Model exceeded maximum' "$work/output"; then
            verdict="$model runs forever"
        elif ! grep -q 'panicked at' "$work/output"; then
            verdict="$model ends with code $code, but not by a panic"
        fi
    fi
    if [[ -z $verdict ]]; then
        killed=$((killed + 1))
        echo "killed $name by $model ($((SECONDS - begun)) s)"
    else
        survived=$((survived + 1))
        echo "SURVIVED $name: $verdict ($((SECONDS - start)) s)"
    fi
    # New times of change, so that cargo sees the file as changed again.
    sed -n 's#^+++ b/\([^\t]*\).*#\1#p' "$patch" | while read -r file; do
        cp "$work/clean/$file" "$work/tree/$file"
    done
    find "$work/tree" \( -name '*.rej' -o -name '*.orig' \) -delete
done
echo "$killed passed, $survived failed"
((survived == 0))
