#!/bin/sh
# test_readme.sh - what README.md says in "As a service" works as it stands there, after nothing but an installation.
. "$(dirname -- "$0")/lib.sh"

sudo() { "$@"; }

awk '/^## / { inside = $0 == "## As a service" } inside && sub(/^\$ /, "")' "$source/README.md" >/tmp/commands
[ -s /tmp/commands ] || fail 'README.md has no commands there'
while IFS= read -r command <&3; do
        step "$command"
        eval "$command" </dev/null || fail "failed: $command"
done 3</tmp/commands
is active "$(systemctl is-active shmd.service)" 'the service'
is enabled "$(systemctl is-enabled shmd.socket)" 'the socket'
