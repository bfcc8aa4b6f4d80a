#!/bin/sh
# run.sh MODEL.pml [LINE] - check a model: every PASS line in its head has to pass exhaustively, every FAIL line to fail.
#
# A line holds the definitions that make the variant. "Exhaustively" means that no error was found, that the search was
# not cut short, and that every statement kind of end was allowed. With LINE only that line (counted from 1) is checked
# and an error's trail is printed.
set -u

model=$(readlink -f -- "$1")
only=${2-}
cc=${CC:-cc}

command -v spin >/dev/null || { echo 'spin is not installed'; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$dir" || exit 1

passed=0
failed=0

bad() {
        failed=$((failed + 1))
        echo "  NOT AS IT SHOULD BE: $*"
}

# check EXPECTED DEFINITIONS...
check() {
        expected=$1
        shift
        rm -f pan* ./*.trail
        # shellcheck disable=SC2086 # definitions have no blanks
        if ! spin -a "$@" "$model" >spin.out 2>&1; then
                cat spin.out
                bad "$expected $*: spin does not accept it"
                return
        fi
        # A search that fails soon is not worth the optimiser's time.
        if [ "$expected" = PASS ]; then optimise=-O2; else optimise=-O0; fi
        if ! "$cc" $optimise -w -DSAFETY -DCOLLAPSE -DMEMLIM=4096 -o pan pan.c 2>cc.out; then
                cat cc.out
                bad "$expected $*: the verifier does not compile"
                return
        fi
        ./pan -m1000000 >pan.out 2>&1
        status=$?
        states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.out)
        time=$(sed -n 's/^pan: elapsed time \([0-9.e+-]*\) seconds.*/\1/p' pan.out)
        why=$(sed -n 's/^pan:1: \(.*\) (at depth.*/\1/p' pan.out)
        echo "$expected $*: ${states:-?} states, ${time:-?} s${why:+, $why}"
        if [ -n "$only" ] && [ -n "$why" ]; then
                spin -p -g -k "$(basename "$model").trail" "$@" "$model"
        fi
        if [ "$expected" = PASS ]; then
                if [ $status -ne 0 ] || ! grep -q 'errors: 0$' pan.out ||
                        grep -q -e 'max search depth too small' -e 'out of memory' -e 'Search not completed' pan.out; then
                        cat pan.out
                        bad "$expected $*"
                        return
                fi
        elif ! grep -q -e '^pan:1: assertion violated' -e '^pan:1: invalid end state' pan.out; then
                cat pan.out
                bad "$expected $*: no error was found"
                return
        fi
        passed=$((passed + 1))
}

n=0
sed -n 's/^ \* \(PASS\|FAIL\):\(.*\)/\1 \2/p' "$model" >variants
while read -r expected definitions; do
        n=$((n + 1))
        [ -z "$only" ] || [ "$only" = "$n" ] || continue
        # shellcheck disable=SC2086 # a list of words
        check "$expected" $definitions </dev/null
done <variants

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
