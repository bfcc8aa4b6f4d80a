#!/bin/sh
# test_sandbox.sh BIN - whatever clients ask for, the daemon needs no system call that its unit forbids.
#
# Runs test programs of BIN, and with them the daemons that they start, as the unit's user and under its filter. A call
# that is not allowed kills here, instead of failing as it does in the unit.
. "$(dirname -- "$0")/lib.sh"
bin=$1

filter=$(sed -n '/^SystemCallFilter=\|^SystemCallArchitectures=\|^Restrict\|^MemoryDenyWriteExecute=\|^LockPersonality=/p' \
        "$(show FragmentPath)")
# The unit's user has to come by; what is changed here is not changed outside.
directory=$bin
while [ "$directory" != / ]; do
        find "$directory" -maxdepth 0 ! -perm -o=x -exec chmod o+x {} +
        directory=$(dirname -- "$directory")
done
for program in test_requests test_segments test_service test_start; do
        step "$program"
        cat >/run/systemd/system/sandbox.service <<END
[Service]
Type=oneshot
ExecStart=$bin/$program
User=shmd
LimitNOFILE=20000
CapabilityBoundingSet=
NoNewPrivileges=yes
PrivateTmp=yes
BindReadOnlyPaths=$bin
PrivateNetwork=yes
SystemCallErrorNumber=kill
$filter
END
        systemctl daemon-reload
        systemctl start sandbox.service || {
                journalctl --no-pager --quiet --unit sandbox.service --lines 40 >&2
                fail "$program"
        }
done
