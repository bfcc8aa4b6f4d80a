#!/bin/sh
# test_readme.sh SOURCE BUILD CC [SANITIZE] - what the README says works as it stands there.
#
# Installs BUILD into a directory of its own, takes the C programs out of README.md and runs every line that begins with
# "$ " in one shell, in order. What the README shows below a command must be what it prints.
set -u

source=$1 build=$2 cc=$3 sanitize=${4-}
readme=$source/README.md

# Commands that are not run: they build and test everything, or install for the whole machine (done here in private).
exempt='./bootstrap demo
./bootstrap test
sudo cmake --install build/release && sudo ldconfig'

work=$(mktemp -d "${TMPDIR:-/tmp}/test_readme.XXXXXX") || exit 1
daemon=

clean_up() {
        [ -z "$daemon" ] || kill "$daemon" 2>/dev/null
        wait
        rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

fail() {
        printf 'test_readme: %s\n' "$*" >&2
        exit 1
}

# ---- what is in it --------------------------------------------------------------------------------------------------

# Programs go to files that are called as their first line says; commands to command.N, what is shown below to shown.N.
mkdir "$work/home" "$work/steps" "$work/run" "$work/bin" || exit 1
awk -v home="$work/home" -v steps="$work/steps" '
        /^```/ {
                inside = !inside
                program = inside && $0 == "```c"
                shell = inside && $0 == "```"
                file = ""
                command = 0
                next
        }
        program && file == "" { file = home "/" $2 }
        program { print >file }
        shell && /^\$ / {
                command = ++n
                print substr($0, 3) >(steps "/command." command)
                printf "" >(steps "/shown." command)
                next
        }
        shell && command { print >(steps "/shown." command) }
        END { print n + 0 >(steps "/count") }
' "$readme" || exit 1
count=$(cat "$work/steps/count")

for program in writer.c reader.c; do
        cmp "$work/home/$program" "$source/client/examples/$program" ||
                fail "$program in README.md is not client/examples/$program"
done
printf '%s\n' "$exempt" | while IFS= read -r line; do
        cat "$work"/steps/command.* | grep -qxF -e "$line" || fail "README.md does not say: $line"
done || exit 1

# ---- a machine to run it on -----------------------------------------------------------------------------------------

DESTDIR=$work/root cmake --install "$build" >"$work/install.log" 2>&1 || {
        cat "$work/install.log" >&2
        fail 'installing failed'
}
directory_of() {
        found=$(find "$work/root" -name "$1" | head -n 1)
        [ -n "$found" ] || fail "$1 is not installed"
        dirname -- "$found"
}
libraries=$(directory_of libshmd.so) || exit 1
packages=$(directory_of libshmd.pc) || exit 1
programs=$(directory_of shmctl):$(directory_of shmd) || exit 1

# A program under a sanitizer's library needs the sanitizer, too.
printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$cc" "${sanitize:+-fsanitize=$sanitize}" >"$work/bin/cc"
chmod +x "$work/bin/cc"

PATH=$work/bin:$programs:$PATH
LD_LIBRARY_PATH=$libraries
PKG_CONFIG_PATH=$packages
PKG_CONFIG_SYSROOT_DIR=$work/root
XDG_RUNTIME_DIR=$work/run
export PATH LD_LIBRARY_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR XDG_RUNTIME_DIR
unset RUNTIME_DIRECTORY SHMD_SOCKET

# ---- running it -----------------------------------------------------------------------------------------------------

# same N - is what step N printed what the README shows? The owner is whoever runs this; widths follow from it.
same() {
        sed "s/ root / $(id -un) /" "$work/steps/shown.$1" | tr -s ' ' >"$work/want"
        tr -s ' ' <"$work/steps/printed.$1" >"$work/have"
        [ -s "$work/want" ] || return 0
        if ! grep -q ' missed)$' "$work/want"; then
                diff -u "$work/want" "$work/have" >&2
                return
        fi
        # Ten frames, in order; on a busy machine some may be missed, but they are counted, and the last one stays.
        awk '
                $0 !~ /^frame number [0-9]+ \([0-9]+ missed\)$/ { exit 1 }
                { gap = substr($4, 2) + 0; sum += 1 + gap }
                $3 != sum { exit 1 }
                END { if (sum != 10) exit 1 }
        ' "$work/have" || {
                cat "$work/have" >&2
                return 1
        }
}

cd "$work/home" || exit 1
n=0
while [ "$n" -lt "$count" ]; do
        n=$((n + 1))
        command=$(cat "$work/steps/command.$n")
        if printf '%s\n' "$exempt" | grep -qxF -e "$command"; then
                continue
        fi
        eval "$command
        " >"$work/steps/printed.$n" 2>"$work/steps/said.$n" </dev/null || {
                cat "$work/steps/said.$n" >&2
                fail "failed: $command"
        }
        case $command in
        'shmd &')
                daemon=$!
                until shmctl list >/dev/null 2>&1; do
                        kill -0 "$daemon" || {
                                cat "$work/steps/said.$n" >&2
                                fail 'the daemon ended'
                        }
                        sleep 0.05
                done
                continue
                ;;
        *' & '*)
                wait $! || fail "failed in the background: $command"
                ;;
        esac
        [ ! -s "$work/steps/said.$n" ] || {
                cat "$work/steps/said.$n" >&2
                fail "complains: $command"
        }
        same "$n" || fail "prints something else than README.md shows: $command"
done

[ -n "$daemon" ] || fail 'README.md does not start a daemon'
[ -z "$(shmctl list --noheadings)" ] || fail 'segments are left'
kill "$daemon"
wait "$daemon" || fail "the daemon ended with status $?"
daemon=
[ -z "$(find "$work/run" ! -type d)" ] || fail 'the daemon left its socket behind'
echo "$count commands"
