#!/bin/sh
# run.sh TOOL BUILD - look for mistakes with TOOL in the C files that are compiled in the build directory BUILD.
#
# TOOL is cppcheck, clang-tidy or gcc (its -fanalyzer). A file that is compiled for several programs is looked at once.
# Whatever a tool says is an error. Where it is wrong, a comment beside the line says so and why, or a line in
# gcc.suppressions; what is switched off for all files stands with its reason in .clang-tidy, tests/.clang-tidy,
# cppcheck.suppressions and below.
#
# Exit status: 0 nothing was found, 77 TOOL is not installed.
set -u

tool=$1
build=$(readlink -f -- "$2") || exit 1
here=$(dirname -- "$(readlink -f -- "$0")")
source=$(readlink -f -- "$here/../..") || exit 1

command -v "$tool" >/dev/null || { echo "$tool is not installed"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
cd "$source" || exit 1
jobs=$(nproc)

# commands PLACE - the compile database, with each file once: those in PLACE, "tests" or "code" (all others).
commands() {
        awk -v place="$1" -v tests="\"$source/tests/" '
                /^  "directory": / { directory = $0 }
                /^  "command": / { command = $0 }
                /^  "file": / && (index($0, tests) > 0) == (place == "tests") && !seen[$0]++ {
                        printf "%s{\n%s\n%s\n%s\n}", n++ ? ",\n" : "[\n", directory, command, $0
                }
                END { print "\n]" }' "$build/compile_commands.json"
}

# values KEY - of every entry, NUL after each. JSON's escapes are gone.
values() { sed -n "s/^  \"$1\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p" "$dir/compile_commands.json" | sed 's/\\\(.\)/\1/g' | tr '\n' '\0'; }

# check_gcc FLAGS - the files at hand, and FLAGS more
check_gcc() {
        # Without optimisation: it then sees the code as it is written, and finds more.
        flags="-fanalyzer -O0 -U_FORTIFY_SOURCE -Werror $1 -o /dev/null"
        # shellcheck disable=SC2016 # expanded by the inner one
        values command | xargs -0 -r -n 1 -P "$jobs" sh -c '
                cd "$1" || exit
                file=${5##* -c "$2"/}
                eval "$5 $4 $(sed -n "s|^$file: ||p" "$3")"' sh "$build" "$source" "$here/gcc.suppressions" "$flags"
}

check_clang_tidy() {
        values file | xargs -0 -r -n 1 -P "$jobs" clang-tidy --quiet -p "$dir" \
                --extra-arg=-U_FORTIFY_SOURCE
}

check_cppcheck() {
        # One process: several of them do not notice a suppression that is not needed any more. It does not look into the
        # system's headers, but has to know what the macros of these two are.
        cppcheck --project="$dir/compile_commands.json" --quiet --error-exitcode=1 \
                --enable=warning,style,performance,portability,information --library=posix --library=gnu \
                --include=/usr/include/bsd/sys/queue.h --include=/usr/include/bsd/sys/tree.h \
                --inline-suppr --suppressions-list="$here/cppcheck.suppressions"
}

status=0
for place in code tests; do
        commands $place >"$dir/compile_commands.json"
        n=$(values file | tr -cd '\0' | wc -c)
        [ "$n" -gt 0 ] || { echo "$build/compile_commands.json has no file of $place"; exit 1; }
        case $tool-$place in
        gcc-code)
                check_gcc '' || status=1
                ;;
        gcc-tests)
                # A failed assertion of cmocka leaves by longjmp(), and what it held is lost; the analyzer does not know
                # that it does not return. Members of structures are returned by their address, and freed by
                # container_of(). The sanitizers find leaks and null pointers at run time.
                check_gcc '-Wno-analyzer-malloc-leak -Wno-analyzer-null-dereference' || status=1
                ;;
        clang-tidy-*)
                check_clang_tidy || status=1
                ;;
        cppcheck-code)
                check_cppcheck || status=1
                ;;
        cppcheck-tests)
                # It takes the macros of cmocka and of the tests' stand-ins for atomics for wrong syntax.
                continue
                ;;
        *)
                echo "unknown: $tool"
                exit 1
                ;;
        esac
        echo "$n files of $place"
done
exit $status
