#!/bin/bash
# kernel.sh - fetches Debian's kernel package and lays out what booting it needs.
#
# usage: kernel.sh [MODULE...]       prints the directory, which then holds
#	vmlinuz      the kernel, unpacked where that saves time in emulation
#	release      its version string
#	root/lib/modules/RELEASE/   the modules named, their dependencies, and a modules.dep of their own
#
# Cached under ${XDG_CACHE_HOME:-~/.cache}/loopline-vm; offline once it is there. Exit status 77:
# no kernel package can be had here. Needs apt, dpkg, kmod, xz.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
modules=("$@")
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/loopline-vm
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # several runs may find it empty at once

fail() { echo "kernel.sh: $*" >&2; exit 1; }

# linux-image-amd64 is empty and depends on the kernel of the day.
package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
deb=
if [ -n "$package" ]; then
	version=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Version: //p' | head -n 1)
	deb=$cache/${package}_${version//:/%3a}_amd64.deb
	if [ ! -f "$deb" ]; then
		fetch=$(mktemp -d "$cache/fetch.XXXXXX")
		(cd "$fetch" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) &&
			mv -f "$fetch"/*.deb "$deb" || true
		rm -rf "$fetch"
	fi
fi
if [ ! -f "${deb:-}" ]; then
	deb=$(find "$cache" -maxdepth 1 -name 'linux-image-*.deb' | sort -V | tail -n 1)
	[ -n "$deb" ] || { echo "kernel.sh: no kernel package can be downloaded and none is cached" >&2; exit 77; }
fi

dir=$cache/$(basename "$deb" .deb).$(printf '%s\n' "${modules[@]}" | sort -u | cksum | cut -d' ' -f1)
if [ ! -f "$dir/vmlinuz" ]; then
	unpacked=$(mktemp -d "$cache/unpacked.XXXXXX")
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$unpacked" "$new"' EXIT
	# tar complains of pipes closed early and of links outside; what is missing is checked below
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$unpacked" --wildcards './boot/*' '*lib/modules/*' || true
	[ -d "$unpacked/lib/modules" ] || { [ -d "$unpacked/usr/lib/modules" ] && ln -s usr/lib "$unpacked/lib"; }
	release=$(ls "$unpacked/lib/modules" | head -n 1)
	[ -f "$unpacked/boot/vmlinuz-$release" ] || fail "$deb holds no kernel"
	depmod -b "$unpacked" "$release"
	mkdir -p "$new/root/lib/modules/$release"
	cp "$unpacked/lib/modules/$release"/modules.{builtin*,order} "$new/root/lib/modules/$release/"
	for module in "${modules[@]}"; do
		modprobe -C /dev/null -d "$unpacked" -S "$release" --show-depends "$module" ||
			fail "the kernel has no module $module"
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
		file=${file#"$unpacked"}
		mkdir -p "$new/root${file%/*}"
		cp "$unpacked$file" "$new/root$file"
	done
	depmod -b "$new/root" "$release"
	echo "$release" >"$new/release"
	# Debian's bzImage is xz inside; unpacking it takes seconds in emulation. QEMU starts the bare
	# ELF file by its PVH entry point just as well.
	at=$(grep -aboPm1 '\xfd7zXZ\x00' "$unpacked/boot/vmlinuz-$release" | head -n 1 | cut -d: -f1 || true)
	if [ -n "$at" ]; then
		tail -c +$((at + 1)) "$unpacked/boot/vmlinuz-$release" | xz -dc --single-stream >"$new/vmlinuz" 2>/dev/null || true
	fi
	[ "$(head -c 4 "$new/vmlinuz" 2>/dev/null | tail -c 3)" = ELF ] ||
		cp "$unpacked/boot/vmlinuz-$release" "$new/vmlinuz"
	rm -rf "$dir"
	mv -T "$new" "$dir"
fi
echo "$dir"
