#!/bin/sh
# Installs what building and testing loopline needs on Debian 12 or 13, when run by root or with
# sudo; otherwise prints the line to run and fails. Does nothing when everything is there.
set -u
build="gcc make pkg-config libasound2-dev libwebsockets-dev libopus-dev libsodium-dev libcjson-dev
libcurl4-openssl-dev libssl-dev"
run="libasound2-plugins alsa-utils"
test="libspeexdsp-dev espeak-ng openssl curl ca-certificates procps"
missing=
for p in $build $run $test; do
	dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" -eq 0 ]; then
	run_as=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	run_as=sudo
else
	echo "loopline needs some packages; please run:" >&2
	echo "  sudo $install" >&2
	exit 1
fi
echo "installing:$missing"
log=$(mktemp)
if ! { DEBIAN_FRONTEND=noninteractive $run_as $install || {
	$run_as apt-get update && DEBIAN_FRONTEND=noninteractive $run_as $install; }; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "could not install:$missing" >&2
	rm -f "$log"
	exit 1
fi
rm -f "$log"
