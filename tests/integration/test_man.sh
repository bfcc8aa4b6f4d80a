#!/bin/sh
# test_man.sh SHMD PAGE - the manual page is well-formed, and has the options that the daemon has.
set -u
daemon=$1 page=$2

fail() {
        printf 'test_man: %s\n' "$*" >&2
        exit 1
}

command -v mandoc >/dev/null || {
        echo 'mandoc is not installed'
        exit 77
}
# Whether the pages that it refers to are installed is the machine's affair.
said=$(mandoc -T lint -W style "$page" 2>&1 | grep -v 'mandoc.db\|: STYLE: referenced manual not found')
[ -z "$said" ] || fail "$said"
if command -v man >/dev/null; then
        said=$(LC_ALL=C MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 "$page" 2>&1 >/dev/null)
        [ -z "$said" ] || fail "$said"
fi

printed=$("$daemon" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | sort)
described=$(sed -n '/^\.Sh OPTIONS/,/^\.Sh CONF/s/^\.It Fl Fl \([a-z-]*\).*/\1/p' "$page" | sort)
[ "$printed" = "$described" ] || fail "--help has: $printed; the page has: $described"
synopsis=$(sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESC/s/Fl Fl \([a-z-]*\)/\n=\1\n/gp' "$page" | sed -n 's/^=//p' | sort)
[ "$printed" = "$synopsis" ] || fail "--help has: $printed; the synopsis has: $synopsis"
