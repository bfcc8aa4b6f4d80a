#!/bin/sh
# test_units.sh - the units as they are installed: nothing to complain of, little to attack, numbers that fit.
. "$(dirname -- "$0")/lib.sh"

step 'systemd-analyze verify has nothing to say'
system=$(show FragmentPath)
said=$(systemd-analyze verify "$system" "$(show FragmentPath shmd.socket)" 2>&1) || fail "verify: $said"
is '' "$said" 'systemd-analyze verify'
XDG_RUNTIME_DIR=/run/user/0
export XDG_RUNTIME_DIR
mkdir -p "$XDG_RUNTIME_DIR"
user=${system%/system/shmd.service}/user/shmd.service
said=$(systemd-analyze --user verify "$user" "${user%.service}.socket" 2>&1) || fail "verify: $said"
is '' "$said" 'systemd-analyze --user verify'

step 'the exposure is 0.6 at most'
systemd-analyze security --no-pager --threshold=6 shmd.service >/dev/null ||
        fail "$(systemd-analyze security --no-pager shmd.service | grep -v '^✓')"

step 'the numbers fit together'
for unit in "$system" "$user"; do
        max=$(sed -n 's/^FileDescriptorStoreMax=//p' "$unit")
        is "$max" "$(sed -n 's/^Environment=SHMD_STORE_MAX=//p' "$unit")" "what the daemon is told in $unit"
        limit=$(sed -n 's/^LimitNOFILE=//p' "$unit")
        [ "$limit" -ge $((2 * max + 64)) ] || fail "$unit: LimitNOFILE=$limit is less than 2 * $max + 64"
done

step 'the user, its directory'
is /usr/sbin/nologin "$(getent passwd shmd | cut -d : -f 7)" 'the shell of shmd'
is 'root root 755' "$(stat -c '%U %G %a' /run/shmd)" '/run/shmd'

step 'what the daemon has'
fresh
shmctl list --noheadings || fail 'it does not answer'
pid=$(show MainPID)
is shmd "$(stat -c %U "/proc/$pid")" 'its user'
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        is 0000000000000000 "$(sed -n "s/^$set:\t//p" "/proc/$pid/status")" $set
done
is 2 "$(sed -n 's/^Seccomp:\t//p' "/proc/$pid/status")" 'its system call filter'
is lo "$(sed -n 's/^ *\(.*\):.*/\1/p' "/proc/$pid/net/dev")" 'its network'
inside() { nsenter --target "$pid" --mount setpriv --reuid shmd --regid shmd --clear-groups --no-new-privs "$@"; }
for directory in / /etc /home /run /run/shmd /tmp /usr /var /var/tmp; do
        [ "$directory" = /tmp ] || [ "$directory" = /var/tmp ] || inside test ! -w $directory ||
                fail "$directory can be written by it"
done
is 0 "$(inside ls /home 2>/dev/null | wc -l)" 'what it sees of /home'
for file in /proc/self/fd /proc/meminfo /sys/fs/cgroup; do
        inside test -r $file || fail "$file cannot be read by it"
done
