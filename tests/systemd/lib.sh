# shellcheck shell=sh disable=SC2034 # variables for those who read it
# lib.sh - what the tests in a box have in common. They begin with: . "$(dirname -- "$0")/lib.sh"
#
#   step WHAT                       say what comes now
#   fail WHY                        the end, with the units' state and the journal
#   is WANT HAVE WHAT               fail unless both are the same
#   eventually COMMAND...           wait until it succeeds: for what another process does in its own time
#   show PROPERTY [UNIT]            of shmd.service, or another unit
#   drop_in UNIT TEXT               as "systemctl edit" would; with no TEXT it is taken back
#   add_user USER                   a user of the machine, and ...
#   as USER COMMAND...              ... what it does
#   journal MATCH...                entries as JSON, one a line: FIELD=VALUE and options of journalctl
#   store_count                     descriptors that systemd keeps for shmd.service
#   fresh                           no segments, the socket is active, the service is not
set -u

[ "${SHMD_BOX-}" ] || {
        echo 'run.sh runs this, in a box' >&2
        exit 2
}
tests=$(dirname -- "$(readlink -f -- "$0")")
source=$(dirname -- "$(dirname -- "$tests")")
socket=/run/shmd/shmd.sock
this=$(basename -- "$0" .sh)
patience=60 # seconds; only a test that fails takes as long

step() { echo "$this: $*"; }

fail() {
        printf '%s: FAILED: %s\n' "$this" "$*" >&2
        systemctl status --no-pager --full --lines=0 shmd.socket shmd.service >&2
        journalctl --no-pager --quiet --output=short-precise --lines=60 >&2
        exit 1
}

is() { [ "$1" = "$2" ] || fail "$3: '$2' instead of '$1'"; }

eventually() {
        end=$(($(date +%s) + patience))
        until "$@"; do
                [ "$(date +%s)" -lt "$end" ] || fail "not within $patience s: $*"
                sleep 0.02
        done
}

show() { systemctl show --property "$1" --value "${2-shmd.service}"; }

drop_in() {
        directory=/etc/systemd/system/$1.d
        rm -rf "$directory"
        if [ "${2-}" ]; then
                mkdir -p "$directory"
                printf '%s\n' "$2" >"$directory/test.conf"
        fi
        systemctl daemon-reload || fail 'daemon-reload'
}

add_user() { useradd --create-home "$1" || fail "no user $1 can be made"; }

as() {
        user=$1
        shift
        setpriv --reuid "$user" --regid "$user" --init-groups --reset-env "$@"
}

journal() {
        journalctl --sync
        journalctl --quiet --no-pager --all --output json _SYSTEMD_UNIT=shmd.service "$@"
}

store_count() { show NFileDescriptorStore; }

fresh() {
        systemctl start shmd.socket || fail 'the socket does not start'
        shmctl list --noheadings --raw --output NAME | xargs -r shmctl remove || fail 'segments cannot be removed'
        systemctl stop shmd.service 2>/dev/null # it says that the socket may start it again
}
