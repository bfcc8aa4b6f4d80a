#!/bin/sh
# test_journal.sh - what the journal has of each event: fields, an id that the catalog explains; no secret, no flood.
. "$(dirname -- "$0")/lib.sh"

id_of() { sed -n "s/.*\[LOG_EVENT_$1\] = \"\([0-9a-f]*\)\".*/\1/p" "$source/daemon/log_event.h"; }

# found EVENT MATCH... - is there such an entry? The last one is in $entry, as JSON
found() {
        what=$1
        shift
        entry=$(journal MESSAGE_ID="$(id_of "$what")" "$@" | tail -n 1)
        [ "$entry" ]
}
has() { found "$@" || fail "the journal does not have: $*"; }
field() { printf '%s\n' "$entry" | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
count() { journal "$@" | wc -l; }

step 'each id is in the catalog, and nothing else'
sed -n 's/.*= "\([0-9a-f]*\)".*/\1/p' "$source/daemon/log_event.h" | sort >/tmp/ids
journalctl --list-catalog | sed -n 's/^\([0-9a-f]*\) shmd: .*/\1/p' | sort >/tmp/explained
diff /tmp/ids /tmp/explained || fail 'daemon/log_event.h and systemd/shmd.catalog do not fit'
is "$(sed -n 's/^        LOG_EVENT_\([A-Z_]*\),.*/\1/p' "$source/daemon/log_event.h" | grep -vcx NONE)" \
        "$(wc -l </tmp/ids)" 'events with an id'

step 'the fields'
fresh
add_user one
add_user two
uid=$(id -u one)
as one shmctl create cam/0 --size 4K || fail 'create'
has READY
is 6 "$(field PRIORITY)" 'its priority'
is shmd "$(field SYSLOG_IDENTIFIER)" 'its identifier'
has CREATED SHMD_SEGMENT=cam/0
is "$uid" "$(field SHMD_UID)" 'the user'
is shmctl "$(field SHMD_CLIENT)" 'what the client calls itself'
[ "$(field SHMD_PID)" -gt 1 ] || fail "the process: '$(field SHMD_PID)'"
as one shmctl chmod 0640 cam/0 || fail 'chmod'
has CHANGED SHMD_SEGMENT=cam/0 SHMD_UID="$uid"
as one shmctl remove cam/0 || fail 'remove'
has REMOVED SHMD_SEGMENT=cam/0 SHMD_UID="$uid" SHMD_CLIENT=shmctl
journalctl --no-pager --catalog MESSAGE_ID="$(id_of REMOVED)" | grep -q 'The segment cam/0 was removed' ||
        fail 'the catalog does not explain it'
as one shmctl create gone --size 4K --ephemeral || fail 'create'
echo x | as one shmctl write gone || fail 'write'
eventually found REMOVED SHMD_SEGMENT=gone SHMD_UID="$uid"

step 'begin, reload and end'
mkdir -p /etc/shmd
systemctl reload shmd.service
eventually found RELOADED
echo nonsense >/etc/shmd/shmd.conf
systemctl reload shmd.service
eventually found RELOAD_REFUSED PRIORITY=3
systemctl restart --no-block shmd.service
eventually found ENDING
eventually found START_FAILED PRIORITY=3
field MESSAGE | grep -q 'shmd.conf:1: ' || fail "it does not say where: $(field MESSAGE)"
rm /etc/shmd/shmd.conf
drop_in shmd.service '[Service]
LimitNOFILE=1000'
systemctl restart shmd.service
eventually found LIMIT PRIORITY=4
drop_in shmd.service

step 'nothing of what is in a segment'
shmctl create vault --size 4K || fail 'create'
echo 'open sesame' | shmctl write vault || fail 'write'
is 'open sesame' "$(shmctl read vault)" 'the frame'
kill -KILL "$(show MainPID)"
is 'open sesame' "$(shmctl read vault)" 'the frame after a kill'
has RESTORED
is 0 "$(count --grep 'sesame')" 'lines with a frame in them'

step 'one user cannot fill it'
before=$(count SHMD_UID="$uid")
begin=$(date +%s)
n=0
while [ $n -lt 100 ]; do
        n=$((n + 1))
        as one shmctl create a --size 4K && as one shmctl remove a || fail 'create, remove'
done
has LEFT_OUT SHMD_UID="$uid"
lines=$(($(count SHMD_UID="$uid") - before))
[ "$lines" -le $((110 + $(date +%s) - begin)) ] || fail "$lines lines for 200 events"
as two shmctl create b --size 4K || fail 'create'
has CREATED SHMD_SEGMENT=b SHMD_UID="$(id -u two)"

step 'a journal that hangs does not hang the daemon'
journald=$(show MainPID systemd-journald.service)
for user in three four five six seven eight nine; do add_user $user; done
kill -STOP "$journald"
for user in three four five six seven eight nine; do
        # shellcheck disable=SC2016 # for the inner shell
        as $user timeout "$patience" sh -c 'n=0
                while [ $n -lt 50 ]; do
                        n=$((n + 1))
                        shmctl create "$0" --size 4K && shmctl remove "$0" || exit
                done' $user || {
                kill -CONT "$journald"
                fail 'it hangs'
        }
done
kill -CONT "$journald"
# It says so with the first line that gets through.
told() {
        systemctl reload shmd.service
        found LEFT_OUT --grep 'lines are lost'
}
eventually told
