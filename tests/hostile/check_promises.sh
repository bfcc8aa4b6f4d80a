#!/bin/sh
# Does every proof that SECURITY.md names exist? Usage: check_promises.sh SOURCE_DIRECTORY
set -u

cd "$1" || exit 1
failed=0

complain() {
        echo "SECURITY.md: $*" >&2
        failed=1
}

# A function counts when it is in its program's list of tests, not when it is merely there.
check_test() {
        set -- "${1%/*}" "${1#*/}"
        file=$(ls tests/*/"$1".c 2>/dev/null)
        if [ -z "$file" ]; then
                complain "there is no program $1"
        elif ! sed -n '/CMUnitTest tests\[\]/,/};/p' "$file" | grep -Eq "\\($2[,)]"; then
                complain "$1 does not run $2"
        fi
}

proofs=$(grep -oE '`(test_[a-z_0-9]+/test_[a-z_0-9]+|fuzz_[a-z_]+)`' SECURITY.md | tr -d '`' | sort -u)
for proof in $proofs; do
        case $proof in
        fuzz_*) [ -e "tests/fuzz/$proof.c" ] || complain "there is no fuzzer $proof" ;;
        *) check_test "$proof" ;;
        esac
done

# No promise without a proof: each row of a table with that column ends with one.
unproved=$(awk '/^\| to \|/ { rows = 1; next } !/^\|/ { rows = 0 } rows && !/^\|---/ && !/` \|$/' SECURITY.md)
[ -z "$unproved" ] || complain "no proof: $unproved"

n=$(echo "$proofs" | wc -w)
[ "$n" -gt 30 ] || complain "only $n proofs found: has its form changed?"
[ "$failed" -ne 0 ] || echo "$n proofs, all there"
exit "$failed"
