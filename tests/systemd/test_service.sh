#!/bin/sh
# test_service.sh - the service's life: started by its first client, and again after every kind of end.
. "$(dirname -- "$0")/lib.sh"

answers() { shmctl list >/dev/null; }
pid_is_not() { [ "$(show MainPID)" != "$1" ] && [ "$(show MainPID)" != 0 ]; }
status_has() { show StatusText | grep -q -F -e "$1"; }

# restarted_after WHAT COMMAND... - it makes the daemon end; it is there again, as another process
restarted_after() {
        what=$1
        shift
        before=$(show MainPID)
        "$@" || fail "$what: $*"
        eventually pid_is_not "$before"
        answers || fail "it does not answer after $what"
        is active "$(systemctl is-active shmd.service)" "the service after $what"
        is active "$(systemctl is-active shmd.socket)" "the socket after $what"
}

step 'the first client starts it'
fresh
is inactive "$(systemctl is-active shmd.service)" 'the service before there is a client'
is 'root root 666' "$(stat -c '%U %G %a' $socket)" 'the socket'
add_user one
as one shmctl list >/dev/null || fail 'it does not answer a user'
is active "$(systemctl is-active shmd.service)" 'the service'
is notify "$(show Type)" 'the type'

step 'the status'
as one shmctl create a --size 1M --slots 4 || fail 'create'
eventually status_has '1 segment, 4.0M, 0 clients'
systemctl daemon-reexec || fail 'daemon-reexec'
as one shmctl create b --size 1M --slots 4 || fail 'create'
eventually status_has '2 segments, 8.0M, 0 clients'

step 'every end is followed by a start'
restarted_after 'a kill' systemctl kill --signal KILL shmd.service
restarted_after 'a crash' systemctl kill --signal SEGV shmd.service
restarted_after 'an end in order' systemctl kill --signal TERM shmd.service
restarted_after 'a restart' systemctl restart shmd.service
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
        restarted_after "kill $i in a row" systemctl kill --signal KILL shmd.service
done

step 'a stop ends it, until the next client; segments stay where systemd keeps what it has'
systemctl stop shmd.service 2>/dev/null || fail 'stop'
is 0 "$(show ExecMainStatus)" 'its exit status'
answers || fail 'it does not answer after a stop'
kept=0
[ "$(show FileDescriptorStorePreserve)" != yes ] || kept=2
is $kept "$(shmctl list --noheadings | wc -l)" 'the segments after a stop'

step 'a daemon that hangs is restarted'
drop_in shmd.service '[Service]
WatchdogSec=2s'
systemctl restart shmd.service
pid=$(show MainPID)
restarts=$(show NRestarts)
systemctl kill --signal STOP shmd.service
eventually pid_is_not "$pid"
answers || fail 'it does not answer'
[ "$(show NRestarts)" -gt "$restarts" ] || fail 'it was not restarted'
journalctl --sync
journalctl --quiet --unit shmd.service --grep 'Watchdog timeout' >/dev/null || fail 'no word of the watchdog'
drop_in shmd.service

step 'reload'
mkdir -p /etc/shmd
fresh
systemctl start shmd.service
pid=$(show MainPID)
shmctl create kept --size 4K || fail 'create'
printf '[shmd]\nmax-segments = 2\n' >/etc/shmd/shmd.conf
systemctl reload shmd.service || fail 'reload'
two_at_most() {
        shmctl create b --size 4K && shmctl create c --size 4K 2>/dev/null && shmctl remove b c
        [ "$(shmctl list --noheadings | wc -l)" = 2 ]
}
eventually two_at_most
is "$pid" "$(show MainPID)" 'the process after a reload'
printf '[shmd]\nmax-segments = none\n' >/etc/shmd/shmd.conf
systemctl reload shmd.service || fail 'reload'
eventually status_has "the old configuration holds: /etc/shmd/shmd.conf:2: max-segments is 'none'"
is "$pid" "$(show MainPID)" 'the process after a reload that was refused'
is active "$(systemctl is-active shmd.service)" 'the service after a reload that was refused'
is 2 "$(shmctl list --noheadings | wc -l)" 'the segments'

step 'a configuration with which it cannot start'
fresh
systemctl start shmd.service 2>/dev/null && fail 'it starts with a wrong configuration'
activating() { [ "$(systemctl is-active shmd.service)" = activating ]; }
eventually activating
restarts=$(show NRestarts)
begin=$(date +%s)
tried_again() { [ "$(show NRestarts)" -ge $((restarts + 4)) ]; }
eventually tried_again
[ $(($(date +%s) - begin)) -ge 2 ] || fail 'it is tried more than once a second'
rm /etc/shmd/shmd.conf
answers || fail 'it does not answer with a configuration that is right'

step 'a lower limit'
drop_in shmd.service '[Service]
LimitNOFILE=1000'
systemctl restart shmd.service || fail 'restart'
answers || fail 'it does not answer'
said() { [ "$(journal --grep "$1" | wc -l)" -gt 0 ]; }
said 'no more than 468 are stored' || fail 'it does not say that the limit is too low'
drop_in shmd.service '[Service]
FileDescriptorStoreMax=100'
bus=$(show MainPID dbus.service)
kill -STOP "$bus"
systemctl restart shmd.service || fail 'restart without a bus'
answers || fail 'it does not answer without a bus'
said 'no more than 100 are stored' && fail 'the bus has answered while it was stopped'
kill -CONT "$bus"
eventually said 'no more than 100 are stored'
n=0
while refused=$(shmctl create "many/$n" --size 4K 2>&1); do
        n=$((n + 1))
        [ $n -le 100 ] || fail "$n segments, and room for 100 descriptors"
done
[ $n -ge 90 ] || fail "no more than $n segments: $refused"
systemctl restart shmd.service || fail 'restart'
is $n "$(shmctl list 'many/*' --noheadings | wc -l)" 'the segments after a restart'
drop_in shmd.service
systemctl restart shmd.service
is $n "$(shmctl list 'many/*' --noheadings | wc -l)" 'the segments after another restart'

step 'the socket: group and mode by a drop-in, a second place'
groupadd viewers
add_user two
usermod --append --groups viewers two
drop_in shmd.socket '[Socket]
SocketMode=0660
SocketGroup=viewers
ListenSequentialPacket=/run/shmd/second.sock'
systemctl restart shmd.socket || fail 'restart of the socket'
is $n "$(shmctl list 'many/*' --noheadings | wc -l)" 'the segments after the socket was made anew'
is 'root viewers 660' "$(stat -c '%U %G %a' $socket)" 'the socket'
as two shmctl list >/dev/null || fail 'the group is not served'
as one shmctl list >/dev/null 2>&1 && fail 'somebody outside the group is served'
SHMD_SOCKET=/run/shmd/second.sock shmctl list >/dev/null || fail 'nobody answers at the second place'
drop_in shmd.socket
systemctl restart shmd.socket || fail 'restart of the socket'
as one shmctl list >/dev/null || fail 'it does not answer'

step 'the service goes with its socket'
systemctl stop shmd.socket || fail 'stop'
is inactive "$(systemctl is-active shmd.service)" 'the service'
[ ! -e $socket ] || fail 'the socket is still there'
[ -d /run/shmd ] || fail 'its directory is not there any more'
