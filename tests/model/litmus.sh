#!/bin/sh
# litmus.sh - compile litmus.cc with Relacy, a library of headers (package relacy-dev), and run it.
set -u

source=$(dirname -- "$(readlink -f -- "$0")")/litmus.cc
cxx=${CXX:-c++}

command -v "$cxx" >/dev/null || { echo "there is no $cxx"; exit 77; }
echo '#include <relacy/relacy.hpp>' | "$cxx" -x c++ -E - >/dev/null 2>&1 || { echo 'Relacy is not installed'; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
"$cxx" -std=gnu++17 -O0 -Wall -Wextra -o "$dir/litmus" "$source" && "$dir/litmus"
