#!/bin/sh
# coverage.sh BUILD - how much the last run of the fuzzers has reached of the code that reads what others wrote.
set -u

build=$(readlink -f -- "$1") || exit 1
source=$(readlink -f -- "$(dirname -- "$(readlink -f -- "$0")")/../..") || exit 1

command -v llvm-cov-14 >/dev/null || { echo 'llvm-cov-14 is not installed'; exit; }

set --
for profile in "$build"/fuzz/*/profile; do
        program=$(basename -- "$(dirname -- "$profile")")
        set -- "$@" ${1+-object} "$build/bin/$program"
done
llvm-profdata-14 merge -o "$build/fuzz/profile" "$build"/fuzz/*/profile || exit 1
cd "$source" || exit 1
llvm-cov-14 report "$@" -instr-profile "$build/fuzz/profile" -show-region-summary=0 \
        proto/*.c daemon/config.c daemon/naming.c daemon/request*.c client/handle.c client/reader.c client/segments.c \
        client/writer.c client/shmctl/parse.c
