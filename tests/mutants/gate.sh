# The common part of the mutation gates, for `loom-tests/mutants.sh` and `tests/mutants.sh` to source.
#
# They set
#   root      the repository
#   mutants   the folder of patches
#   subject   the header line that names what must fail: a filter, or a target and a filter
#   effort    the header line that says how hard to try, where the default does not do
#   limit     seconds that one run may take
#   paths     what the tests are built from, under the root
# and define
#   build TARGET FILE            builds the tests of `$work/tree` into the file; the target is `all` where
#                                none is named
#   run FILE FILTER EFFORT       runs those of a filter
set -euo pipefail

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

chosen_mutants=()
for patch in "$mutants"/*.patch; do
    name=$(basename "$patch" .patch)
    chosen=$((${#filters[@]} == 0))
    for filter in "${filters[@]+"${filters[@]}"}"; do
        [[ $name == *"$filter"* ]] && chosen=1
    done
    ((chosen)) && chosen_mutants+=("$name")
done
# So many of the names, spread over all of them, the same ones every time.
spread() {
    local most=$1 at
    shift
    for ((at = 0; at < most && at < $#; at++)); do
        local nth=$((at * $# / (most < $# ? most : $#) + 1))
        echo "${!nth}"
    done
}
if ((some > 0 && some < ${#chosen_mutants[@]})); then
    # Of what changed since the last release first; without one, everything has.
    changed=$(git -C "$root" describe --tags --abbrev=0 2>/dev/null) &&
        changed=$(git -C "$root" diff --name-only "$changed" --) || changed=
    touched=()
    others=()
    for name in "${chosen_mutants[@]}"; do
        file=$(sed -n 's#^+++ b/\([^\t]*\).*#\1#p' "$mutants/$name.patch" | head -n 1)
        if grep -qxF "$file" <<<"$changed"; then touched+=("$name"); else others+=("$name"); fi
    done
    mapfile -t chosen_mutants < <(
        spread "$some" "${touched[@]+"${touched[@]}"}"
        spread $((some - ${#touched[@]})) "${others[@]+"${others[@]}"}"
    )
fi
if ((${#chosen_mutants[@]} == 0)); then
    echo "no mutant of that name" >&2
    exit 2
fi

header() { sed -n "s/^$2: //p;/^--- /q" "$mutants/$1.patch"; }

if [[ $list == yes ]]; then
    for name in "${chosen_mutants[@]}"; do
        printf '%-44s %-44s %s\n' "$name" "$(header "$name" "$subject")" "$(header "$name" why)"
    done
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/clean"
git -C "$root" ls-files -z --cached --others --exclude-standard -- "${paths[@]}" |
    (cd "$root" && xargs -0 sh -c 'for f; do [ ! -f "$f" ] || printf "%s\0" "$f"; done' sh) |
    (cd "$root" && xargs -0 cp --parents -t "$work/clean")
cp -r "$work/clean" "$work/tree"
export RUST_BACKTRACE=0

# Runs the tests of a filter within the limit; the output is left in a file.
try() {
    (run "$@" >"$work/output" 2>&1) 2>/dev/null
}

# Whether the tests pass without a patch; each target is built once.
declare -A built unpatched
passes() {
    local target=$1 filter=$2 effort=$3 key="$*"
    if [[ -z ${built[$target]:-} ]]; then
        build "$target" "$work/unpatched-$target" || {
            echo "the tree does not compile" >&2
            exit 1
        }
        built[$target]=yes
    fi
    if [[ -z ${unpatched[$key]:-} ]]; then
        if try "$work/unpatched-$target" "$filter" "$effort" && ! grep -q '^running 0 tests' "$work/output"; then
            unpatched[$key]=yes
        else
            unpatched[$key]=no
        fi
    fi
    [[ ${unpatched[$key]} == yes ]]
}

killed=0
survived=0
for name in "${chosen_mutants[@]}"; do
    patch=$mutants/$name.patch
    named=$(header "$name" "$subject")
    tried=$(header "$name" "$effort")
    target=all
    [[ $named != *' '* ]] || target=${named%% *}
    filter=${named##* }
    start=$SECONDS
    verdict=
    if [[ -z $named || -z $(header "$name" why) ]]; then
        verdict="it names no $subject or no reason"
    elif ! passes "$target" "$filter" "$tried"; then
        verdict="the unpatched $filter does not pass"
    elif ! patch -s -p1 -d "$work/tree" --no-backup-if-mismatch <"$patch" >"$work/output"; then
        verdict='the patch does not apply'
    elif ! build "$target" "$work/patched" >"$work/output"; then
        verdict="it does not compile: $(head -3 "$work/output" | tr '\n' ' ')"
    else
        begun=$SECONDS
        code=0
        try "$work/patched" "$filter" "$tried" || code=$?
        if ((code == 0)); then
            verdict="$filter passes"
        elif ((code == 124)); then
            verdict="$filter runs for more than $limit s"
        elif grep -q 'Model exceeded maximum' "$work/output"; then
            verdict="$filter runs forever"
        elif ! grep -q 'panicked at' "$work/output"; then
            verdict="$filter ends with code $code, but not by a panic"
        fi
    fi
    if [[ -z $verdict ]]; then
        killed=$((killed + 1))
        echo "killed $name by $filter ($((SECONDS - begun)) s)"
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
