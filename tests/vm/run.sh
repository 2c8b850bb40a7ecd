#!/bin/bash
# run.sh - installs loopline into a virtual machine with the real snd-aloop and systemd, and tests it.
#
# usage: BUILD=build tests/vm/run.sh [GUEST_SCRIPT]        (make test-vm)
#
# The machine's root is this machine's, read-only, with what `make install` makes laid over it; see
# boot.sh. Prints one "ok", "not ok" or "skip" line a test, and "N passed, N failed, N skipped" last.
# Where no virtual machine can be had there is one skipped test, with the reason.
# VM_LIMIT (seconds, 1200) bounds the run; VM_ONLY=part of a name chooses tests, VM_PART="part of a name,
# another" among those of the services. Recordings and logs stay in BUILD/vm.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C.UTF-8
build=$(cd "${BUILD:-build}" && pwd)
script=${1:-tests/vm/guest.sh}
work=$build/vm
rm -rf "$work"
mkdir -p "$work"
overlay=$(mktemp -d)
chmod 755 "$overlay" # becomes the mode of the machine's /
trap 'rm -rf "$overlay"' EXIT
started=$SECONDS

no_vm() {
	echo "skip vm: $*"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
}
[ "$(id -u)" -eq 0 ] || no_vm "needs root"
[ -x /lib/systemd/systemd ] || no_vm "needs package systemd"
[ -x /lib/systemd/systemd-udevd ] || no_vm "needs package udev"
command -v sox >/dev/null || no_vm "needs package sox"
command -v arecord >/dev/null || no_vm "needs package alsa-utils"

make -s install BUILD="$build" DESTDIR="$overlay" >"$work/install.log" 2>&1 ||
	{ cat "$work/install.log"; echo "not ok vm_install: make install failed"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
# The kernel's loopback instead of the embedded one, as an operator would choose it.
install -D -m 644 asound.conf.example "$overlay/etc/asound.conf"
# Users: the service's, by the file that is installed for it; a member of the group, two more, and one
# who may use all sound cards but not this one.
mkdir -p "$overlay/etc"
for file in passwd group shadow gshadow; do
	[ ! -f /etc/$file ] || cp -p /etc/$file "$overlay/etc/"
done
mkdir -p "$overlay/usr/lib/sysusers.d"
cat >"$overlay/usr/lib/sysusers.d/vm.conf" <<X
u alice 2001 "in group loopline" /tmp /bin/bash
u dave 2004 "in group loopline as well" /tmp /bin/bash
u bob 2002 "in no group" /tmp /bin/bash
u carol 2003 "in group audio" /tmp /bin/bash
m alice loopline
m dave loopline
g audio 29
m carol audio
X
systemd-sysusers --root="$overlay" >>"$work/install.log" 2>&1
rm "$overlay/usr/lib/sysusers.d/vm.conf"

cat >"$work/conf" <<X
top=$PWD
build=$build
only=${VM_ONLY:-}
export VM_PART="${VM_PART:-}"
X
# Clients of the worked examples; where they cannot be had those examples are skipped in there.
lower=$(tests/vm/packages.sh pulseaudio pulseaudio-utils pipewire wireplumber 2>"$work/packages.err") || lower=
status=0
tests/vm/boot.sh --systemd --overlay "$overlay" ${lower:+--lower "$lower"} --limit "${VM_LIMIT:-1200}" "$script" "$work" \
	>"$work/out" 2>"$work/boot.err" || status=$?
[ $status -ne 77 ] || no_vm "$(tail -n 1 "$work/boot.err")"
cat "$work/out"
passed=$(grep -c '^ok ' "$work/out" || true)
failed=$(grep -c '^not ok ' "$work/out" || true)
skipped=$(grep -c '^skip ' "$work/out" || true)
if [ "$failed" -eq 0 ] && { [ $status -ne 0 ] || [ "$passed" -eq 0 ]; }; then
	echo "not ok vm: the guest ended with status $status"
	tail -n 20 "$work/boot.err"
	failed=1
fi
echo "took $((SECONDS - started)) s"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
