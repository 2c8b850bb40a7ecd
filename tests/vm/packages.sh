#!/bin/bash
# packages.sh - unpacks packages that are not installed on this machine, for boot.sh --lower.
#
# usage: packages.sh PACKAGE...      prints the directory, "" if all of them are installed here
#
# With what they depend on and is not installed here either. Nothing of them is configured. Cached under
# ${XDG_CACHE_HOME:-~/.cache}/loopline-vm. Exit status 77: they cannot be had here.
set -euo pipefail
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/loopline-vm
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

lack() { echo "packages.sh: $*" >&2; exit 77; }
wanted=$(apt-get install -s -q --no-install-recommends "$@" 2>/dev/null | sed -nE 's/^Inst ([^ ]+) .*\(([^ ]+) .*/\1=\2/p') ||
	lack "apt does not know $*"
[ -n "$wanted" ] || exit 0
dir=$cache/packages.$(cksum <<<"$wanted" | cut -d' ' -f1)
if [ ! -d "$dir" ]; then
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	mkdir "$new/debs" "$new/root"
	# shellcheck disable=SC2086 # a list
	(cd "$new/debs" && apt-get -qq -o APT::Sandbox::User=root download $wanted >&2) || lack "cannot download $*"
	for deb in "$new"/debs/*.deb; do
		dpkg-deb -x "$deb" "$new/root"
	done
	# /lib and /bin are links to those of /usr, which a directory laid over them would hide
	for top in lib lib64 bin sbin; do
		[ ! -d "$new/root/$top" ] || { mkdir -p "$new/root/usr/$top"; cp -a "$new/root/$top/." "$new/root/usr/$top/"; rm -r "${new:?}/root/$top"; }
	done
	mv -T "$new/root" "$dir"
fi
echo "$dir"
