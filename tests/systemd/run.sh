#!/bin/sh
# run.sh [--bare] BUILD COMMAND [ARG]... - run COMMAND where BUILD is installed and systemd is PID 1.
#
# Installs BUILD (a build directory) as "cmake --install" does, into a box (see box) of its own, and does there what the
# README says is to be done after that (with --bare: nothing), up to enabling the socket: the user is there, units and
# catalog are known, nothing has been started. Then COMMAND runs there as root, with the caller's environment and working
# directory, and its status is the status here. 77: no box can be had on this machine.
#
# COMMAND may be anything: a test of this directory, which begins with ". lib.sh", or a program of BUILD's bin. Files
# below / and those of BUILD are at the same place in the box. What it writes is gone afterwards, except below
# $SHMD_BOX_KEEP, a directory, if that is set.
set -u

bare=
if [ "${1-}" = --bare ]; then
        bare=1
        shift
fi
[ $# -ge 2 ] || {
        echo 'usage: run.sh [--bare] BUILD COMMAND [ARG]...' >&2
        exit 2
}
here=$(dirname -- "$(readlink -f -- "$0")")
build=$(readlink -f -- "$1")
shift

# In the box: COMMAND is all that is left.
if [ "${SHMD_BOX-}" ]; then
        PATH=/usr/local/sbin:/usr/local/bin:$PATH
        ldconfig || exit 125 # the README has it beside the installation
        if [ ! "$bare" ]; then
                systemd-sysusers && systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/shmd.conf &&
                        journalctl --quiet --update-catalog && systemctl daemon-reload || exit 125
        fi
        exec "$@"
fi

[ "$(id -u)" = 0 ] || {
        echo 'run.sh: skipped: only root can start a box' >&2
        exit 77
}
stage=$(mktemp -d "${TMPDIR:-/tmp}/shmd-stage.XXXXXX") || exit 1
box=
trap 'rm -rf "$stage"' EXIT
trap '[ -z "$box" ] || kill "$box"; wait; exit 1' HUP INT TERM
DESTDIR=$stage cmake --install "$build" --prefix /usr/local >"$stage/log" 2>&1 || {
        cat "$stage/log" >&2
        exit 1
}
rm "$stage/log"

# What the box does not have: what is not on the root file system, and what is below directories that it has empty.
binds=
bind_missing() {
        case $1 in
        /tmp/* | /run/*) ;;
        *) [ "$(stat -c %d "$1")" != "$(stat -c %d /)" ] || return 0 ;;
        esac
        binds="$binds --bind $1"
}
bind_missing "$(readlink -f -- "$here/../..")"
bind_missing "$build"
[ -z "${SHMD_BOX_KEEP-}" ] || binds="$binds --bind $SHMD_BOX_KEEP"
SHMD_BOX=1
export SHMD_BOX
# shellcheck disable=SC2086 # a list of words
"$here/box" --layer "$stage" $binds -- "$0" ${bare:+--bare} "$build" "$@" &
box=$!
wait "$box"
