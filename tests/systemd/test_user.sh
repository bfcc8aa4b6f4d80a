#!/bin/sh
# test_user.sh - a user's own instance, beside the system's: started by the first client, restarted, for nobody else.
. "$(dirname -- "$0")/lib.sh"

add_user alice
add_user bob
uid=$(id -u alice)
runtime=/run/user/$uid

# alice COMMAND... - in her session
alice() { as alice env XDG_RUNTIME_DIR="$runtime" "$@"; }
hers() { alice systemctl --user "$@"; }
property() { hers show --property "$1" --value shmd.service; }
pid_is_not() { [ "$(property MainPID)" != "$1" ] && [ "$(property MainPID)" != 0 ]; }

step 'beside the system instance'
fresh
shmctl create system --size 4K || fail 'create'
loginctl enable-linger alice || fail 'no session'
there() { [ -S "$runtime/systemd/private" ]; }
eventually there
eventually hers is-system-running --wait

step 'enabled as the manual says, started by the first client'
hers enable --now --quiet shmd.socket || fail 'enable'
is inactive "$(hers is-active shmd.service)" 'her service before there is a client'
is 'alice 600' "$(stat -c '%U %a' "$runtime/shmd/shmd.sock")" 'her socket'
alice shmctl create hers --size 4K || fail "$(hers status --no-pager shmd.service)"
is active "$(hers is-active shmd.service)" 'her service'
is hers "$(alice shmctl list --noheadings --raw --output NAME)" 'what she sees'
is system "$(shmctl list --noheadings --raw --output NAME)" 'what is there for all'
is alice "$(stat -c %U "/proc/$(property MainPID)")" 'whom it runs as'
is 2 "$(sed -n 's/^Seccomp:\t//p' "/proc/$(property MainPID)/status")" 'its system call filter'
as bob env SHMD_SOCKET="$runtime/shmd/shmd.sock" shmctl list 2>/dev/null && fail 'it serves others'
echo frame | alice shmctl write hers || fail 'write'
is frame "$(alice shmctl read hers)" 'the frame'

step 'the limit of descriptors is enough for its store, or it stores less and says so'
soft=$(sed -n 's/^Max open files *\([0-9]*\) .*/\1/p' "/proc/$(property MainPID)/limits")
max=$(property FileDescriptorStoreMax)
said=$(journalctl --quiet --no-pager _SYSTEMD_USER_UNIT=shmd.service --grep 'are stored' | wc -l)
if [ "$soft" -ge $((2 * max + 64)) ]; then is 0 "$said" 'lines about it'; else is 1 "$said" 'lines about it'; fi

step 'a smaller store'
mkdir -p /etc/systemd/user/shmd.service.d
printf '[Service]\nFileDescriptorStoreMax=100\n' >/etc/systemd/user/shmd.service.d/test.conf
hers daemon-reload && hers restart shmd.service || fail 'restart'
smaller() {
        [ "$(journalctl --quiet --no-pager _SYSTEMD_USER_UNIT=shmd.service --grep 'no more than 100 are' | wc -l)" = 1 ]
}
eventually smaller

step 'killed, hanging, reloaded'
pid=$(property MainPID)
kill -KILL "$pid"
eventually pid_is_not "$pid"
is hers "$(alice shmctl list --noheadings --raw --output NAME)" 'what she sees after a kill'
is frame "$(alice shmctl read hers)" 'the frame after a kill'
printf '[Service]\nWatchdogSec=2s\n' >/etc/systemd/user/shmd.service.d/test.conf
hers daemon-reload && hers restart shmd.service || fail 'restart'
pid=$(property MainPID)
kill -STOP "$pid"
eventually pid_is_not "$pid"
alice shmctl list >/dev/null || fail 'it does not answer after it hung'
pid=$(property MainPID)
as alice sh -c 'printf "[shmd]\nmax-segment-bytes = 1K\n" >~/.config/shmd/shmd.conf' || fail 'no directory for a configuration'
hers reload shmd.service || fail 'reload'
refuses() { ! alice shmctl create another --size 4K 2>/dev/null || ! alice shmctl remove another; }
eventually refuses
alice shmctl list >/dev/null || fail 'it does not answer after a reload'
is "$pid" "$(property MainPID)" 'the process after a reload'

step 'the journal has it as hers'
journalctl --sync
journalctl --quiet --no-pager _SYSTEMD_USER_UNIT=shmd.service _UID="$uid" SHMD_SEGMENT=hers --output cat |
        grep -q '^hers created' || fail 'no entry about her segment'
