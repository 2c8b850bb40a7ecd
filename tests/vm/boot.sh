#!/bin/bash
# boot.sh - runs a script on Debian's own kernel with the real snd-aloop, in software emulation.
#
# usage: boot.sh [--systemd] [--overlay DIR] [--lower DIR] [--limit SECONDS] [--keep] SCRIPT [WORKDIR]
#   --systemd         systemd is process 1 and the script one of its units
#   --overlay DIR     copied over the guest's root before it boots (units, modprobe.d, asound.conf …)
#   --lower DIR       laid over this machine's root, not copied (packages that it does not have)
#   --limit SECONDS   the guest is ended after this long (default 300)
#   --keep            keep the console's log and say where
#
# The guest's root is this machine's root, read-only over 9p, under an overlay in memory: whatever is
# built or installed here runs there, nothing that it does lasts. Only WORKDIR, the script's working
# directory, is shared for writing, at the same path. Prints what the script prints; exit status
# is the script's, or 124 at the limit, 125 when the guest could not run, 77 when this machine
# lacks something (said on stderr).
#
# The guest's time is its own: its clocks count the instructions that it executes, one processor of a
# thousand million a second. So it is never late, however slow or busy this machine is: sound there
# has no holes that this machine made, delays are what they are on a kernel of HZ=250. A run takes
# one processor all the time: busy time two to three times its length, idle time less (idle.c).
#
# Needs root, amd64, a C compiler, and: qemu-system-x86 busybox-static kmod cpio xz-utils, systemd and udev for
# --systemd. VM_MEM (MiB, 1024) may be set.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
systemd=no overlay= lower= limit=300 keep=no

lack() { echo "boot.sh: $*" >&2; exit 77; }
broken() { echo "boot.sh: $*" >&2; exit 125; }

while [[ ${1:-} == --* ]]; do
	case $1 in
	--systemd) systemd=yes ;;
	--keep) keep=yes ;;
	--overlay) overlay=$2; shift ;;
	--lower) lower=$2; shift ;;
	--limit) limit=$2; shift ;;
	*) broken "unknown option $1" ;;
	esac
	shift
done
[ $# -ge 1 ] || broken "which script?"
script=$1
workdir=$(cd "${2:-$(mktemp -d)}" && pwd -P)
[[ $workdir != *[,\ ]* ]] || broken "WORKDIR must have no comma or blank: $workdir"

[ "$(id -u)" -eq 0 ] || lack "needs root: 9p has to read every file"
[ "$(dpkg --print-architecture)" = amd64 ] || lack "amd64 only"
for need in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod xz:xz-utils; do
	command -v "${need%%:*}" >/dev/null || lack "needs package ${need#*:}"
done
busybox=$(command -v busybox)
! head -c 4096 "$busybox" | grep -q ld-linux || lack "needs package busybox-static (this busybox is dynamic)"
[ $systemd = no ] || [ -x /lib/systemd/systemd ] || lack "needs package systemd"

command -v "${CC:-cc}" >/dev/null || lack "needs a C compiler"

kernel=$("$here/kernel.sh" virtio_pci 9pnet_virtio 9p overlay virtio_console autofs4 snd-aloop) ||
	{ status=$?; [ $status -eq 77 ] && lack "no kernel package"; broken "no kernel"; }
release=$(cat "$kernel/release")

tmp=$(mktemp -d)
qemu=
finish() {
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
	[ $keep = yes ] || rm -rf "$tmp"
}
trap finish EXIT

# ---- the initramfs: mounts the root, then hands over ---------------------------------------
ram=$tmp/ram
mkdir -p "$ram"/{bin,dev,proc,sys,low,lower,rw,root,vm}
cp -a "$kernel/root/lib" "$ram/"
cp "$busybox" "$ram/bin/busybox"
cp "$script" "$ram/vm/script"
"${CC:-cc}" -O1 -static -nostdlib -fno-pie -no-pie -fno-stack-protector -o "$ram/bin/idle" "$here/idle.c" ||
	broken "cannot build idle.c"
[ -z "$overlay" ] || cp -a "$overlay" "$ram/vm/overlay"
printf 'systemd=%q\nworkdir=%q\nrelease=%q\nlower=%q\n' "$systemd" "$workdir" "$release" "$lower" >"$ram/vm/conf"

cat >"$ram/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
. /vm/conf
give_up() { echo "vm: $*" >/dev/console; poweroff -f; }
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
/bin/idle &
for module in virtio_pci 9pnet_virtio 9p overlay virtio_console autofs4; do
	modprobe $module || give_up "no module $module"
done
options=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o $options,cache=loose,ro host /low || give_up "cannot mount the host's root"
mount -t tmpfs -o mode=755 rw /rw && mkdir /rw/upper /rw/work
layers=/low
if [ -n "$lower" ]; then
	mount -t 9p -o $options,cache=loose,ro lower /lower || give_up "cannot mount what lies over the root"
	layers=/lower:/low
fi
mount -t overlay -o lowerdir=$layers,upperdir=/rw/upper,workdir=/rw/work root /root || give_up "cannot mount the overlay"
mkdir -p "/root/lib/modules/$release"
cp -a "/lib/modules/$release/." "/root/lib/modules/$release/"
: >/root/etc/fstab
# A host that is a container leaves a mark, and a systemd that believes itself inside Docker does not
# share its mounts: LoadCredential= then gives an empty directory and the unit starts all the same.
rm -f /root/.dockerenv
[ ! -d /vm/overlay ] || cp -a /vm/overlay/. /root/
mount -t tmpfs -o mode=1777 tmp /root/tmp
mount -t tmpfs -o mode=755 run /root/run
mkdir /root/run/vm
cp /vm/conf /vm/script /vm/runner /bin/busybox /root/run/vm/
chmod 755 /root/run/vm/*
mkdir -p "/root$workdir"
mount -t 9p -o $options,cache=mmap work "/root$workdir" || give_up "cannot mount WORKDIR"
for dir in proc sys dev; do mount --move /$dir /root/$dir; done
if [ "$systemd" = no ]; then
	mkdir -p /root/dev/pts /root/dev/shm
	mount -t devpts -o gid=5,mode=620 pts /root/dev/pts
	mount -t tmpfs -o mode=1777 shm /root/dev/shm
	ln -s /proc/self/fd /root/dev/fd
	ln -s fd/0 /root/dev/stdin; ln -s fd/1 /root/dev/stdout; ln -s fd/2 /root/dev/stderr
	exec switch_root /root /run/vm/runner
fi
# Nothing but what basic.target needs, and the script.
mkdir -p /root/run/systemd/system /root/etc/systemd/system
cat >/root/run/systemd/system/vm.target <<X
[Unit]
Requires=basic.target vm.service
After=basic.target
AllowIsolate=yes
X
cat >/root/run/systemd/system/vm.service <<X
[Unit]
After=basic.target
[Service]
Type=oneshot
StandardOutput=null
StandardError=null
TimeoutStartSec=infinity
ExecStart=/run/vm/runner
X
for unit in systemd-timesyncd.service systemd-networkd.service systemd-firstboot.service apt-daily.timer; do
	ln -sf /dev/null /root/etc/systemd/system/$unit
done
# No units made of what this machine has: they cost time at each reload as well.
mkdir -p /root/etc/systemd/system-generators
for generator in /root/lib/systemd/system-generators/* /root/usr/lib/systemd/system-generators/*; do
	ln -sf /dev/null "/root/etc/systemd/system-generators/${generator##*/}"
done
exec switch_root /root /lib/systemd/systemd --unit=vm.target
EOF

# Runs the script; its output and status leave by two virtio ports.
cat >"$ram/vm/runner" <<'EOF'
#!/run/vm/busybox sh
. /run/vm/conf
bb=/run/vm/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LOOPLINE_VM=1 HOME=/root LC_ALL=C.UTF-8
[ "$systemd" = yes ] || { $bb hostname vm; $bb ip link set lo up; }
port() {
	for dir in /sys/class/virtio-ports/*; do
		[ "$($bb cat "$dir/name")" != "$1" ] || echo "/dev/${dir##*/}"
	done
}
$bb mkfifo /run/vm/pipe
$bb cat /run/vm/pipe >"$(port out)" &
cat=$!
cd "$workdir" || cd /
/run/vm/script </dev/null >/run/vm/pipe 2>&1
status=$?
# what the script left running may hold the pipe open: do not wait for that for long
i=0
while [ $i -lt 20 ] && [ -d /proc/$cat ] && ! $bb grep -q '^State:.Z' /proc/$cat/status 2>/dev/null; do
	$bb usleep 50000; i=$((i + 1))
done
$bb sync
echo $status >"$(port status)"
$bb usleep 200000
$bb poweroff -f
EOF
chmod 755 "$ram/init" "$ram/vm/runner" "$ram/vm/script"
(cd "$ram" && find . | cpio -o -H newc --quiet) | gzip -1 >"$tmp/initramfs.gz"

# ---- boot ----------------------------------------------------------------------------------
: >"$tmp/status"
# A virtio port whose chardev has seen end of file drops what the guest writes; stdin from /dev/null
# is such a one. Hence a FIFO that this shell keeps open.
mkfifo "$tmp/out"
exec 3<>"$tmp/out"
cat "$tmp/out" 3>&- &
printer=$!
timeout -k 5 "$limit" qemu-system-x86_64 \
	-accel tcg,thread=single -icount shift=0,sleep=off -rtc clock=vm -cpu max -m "${VM_MEM:-1024}" -smp 1 \
	-nodefaults -no-user-config -display none -no-reboot -nic none \
	-kernel "$kernel/vmlinuz" -initrd "$tmp/initramfs.gz" \
	-append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off" \
	-serial "file:$tmp/console" -device virtio-rng-pci -device virtio-serial-pci \
	-chardev "file,id=out,path=$tmp/out" -device virtserialport,chardev=out,name=out \
	-chardev "file,id=status,path=$tmp/status" -device virtserialport,chardev=status,name=status \
	-virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap" \
	-virtfs "local,path=$workdir,mount_tag=work,security_model=none,multidevs=remap" \
	${lower:+-virtfs "local,path=$lower,mount_tag=lower,security_model=none,readonly=on,multidevs=remap"} \
	</dev/null 2>"$tmp/qemu.err" 3>&- &
qemu=$!
ended=0
wait "$qemu" || ended=$?
qemu=
exec 3>&-
wait "$printer" || true
[ $keep = no ] || echo "boot.sh: kept $tmp" >&2
status=$(cat "$tmp/status")
if [[ $status =~ ^[0-9]+$ ]]; then
	exit "$status"
fi
if [ $ended -eq 124 ] || [ $ended -eq 137 ]; then
	echo "boot.sh: still running after $limit s" >&2
	exit 124
fi
cat "$tmp/qemu.err" >&2
tail -n 20 "$tmp/console" >&2
broken "the guest ended without a status (qemu: $ended)"
