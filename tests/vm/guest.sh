#!/bin/bash
# guest.sh - runs inside the virtual machine (see run.sh): the real card, users, deaths, services.
# Each test is a function test_*; what it prints goes to NAME.log, and a status other than 0 fails it
# (77 skips it; the last line of its log is the reason). What tests leave is copied to the
# directory in which this was started, which is the host's.
set -u
. ./conf # top, build, only: which tests
results=$PWD
work=/tmp/vm
mkdir -m 1777 $work
cd $work
export PATH=$PATH:/usr/sbin:/sbin
bin=$build/tests
failed=0

# Reading from the host and writing to it takes as long as the host likes. So tests write into memory,
# and what they use is read before they begin.
warm() {
	local lib dir program programs="aplay arecord sox setpriv timeout xargs sed grep journalctl systemctl
		systemd-analyze udevadm pulseaudio pactl paplay parecord pipewire wireplumber pw-cat pw-cli
		dbus-daemon dbus-run-session awk id ipcrm install modprobe loopline-bridge loopline-discord
		$bin/test_port_card $bin/test_examples $bin/bench_pcm $bin/tone_level
		$bin/vm_call $bin/sim_twilio $bin/sim_discord $bin/dave_member"
	lib=$(ldd "$(command -v aplay)" | sed -n 's/.*=> \(.*\)\/libasound.so.2 .*/\1/p')
	for program in $programs; do
		program=$(command -v "$program") || continue
		echo "$program"
		ldd "$program" 2>/dev/null | sed -nE 's/.* => (\/[^ ]+) .*/\1/p'
	done | sort -u | xargs cat >/dev/null
	for dir in "$lib"/{alsa-lib,sox,ossl-modules,pulseaudio,pulse-*,spa-0.2,pipewire-0.3,wireplumber-0.4} \
		/usr/share/{pipewire,wireplumber} /usr/share/alsa/{alsa.conf,alsa.conf.d,cards,pcm} /etc/alsa /etc/ssl/openssl.cnf; do
		[ ! -e "$dir" ] || find -L "$dir" -type f -exec cat {} + >/dev/null
	done
}

# Lines of the programs inside are passed on, and their figures.
inside='s/^(ok|skip|not ok) test_/\1 vm_test_/p; /^# /p'
exec 9>&1

run() { # run NAME LIMIT: a test, with a time limit
	case $1 in *$only*) ;; *) return ;; esac
	local start=$SECONDS status
	( set -eu; trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT; "test_$1" ) >"$work/$1.log" 2>&1 &
	local pid=$! i=0
	while kill -0 $pid 2>/dev/null && [ $((SECONDS - start)) -lt "$2" ]; do sleep 0.2; done
	if kill -0 $pid 2>/dev/null; then
		kill -9 $pid; status=124
	else
		wait $pid; status=$?
	fi
	cp "$work/$1.log" "$results/"
	case $status in
	0) sed -nE "$inside" "$work/$1.log"; echo "ok vm_$1" ;;
	77) echo "skip vm_$1: $(tail -n 1 "$work/$1.log")" ;;
	*) sed -nE "$inside" "$work/$1.log"
	   echo "not ok vm_$1: status $status after $((SECONDS - start)) s; last lines:"
	   tail -n 15 "$work/$1.log" | sed 's/^/    /'; failed=1 ;;
	esac
}
as() { local user=$1; shift; setpriv --reuid="$user" --regid="$user" --init-groups env HOME="/tmp/$user" "$@"; }
for user in alice dave bob carol; do install -d -o $user /tmp/$user; done
# FILE HZ [CHANNEL]: the amplitude that a tone has in its best quarter second. Tones are 8000; what is
# measured is less where ALSA's conversion moves them: with periods of 384 frames it plays a
# file of 44.1 kHz 0.2 % fast (352 of its frames as 384, not 352.8).
present() { local l; l=$("$bin/tone_level" "$@"); echo "$1: $2 Hz at $l"; [ "$l" -gt 7600 ] && [ "$l" -lt 8400 ]; }
absent() { local l; l=$("$bin/tone_level" "$@"); echo "$1: $2 Hz at $l"; [ "$l" -lt 25 ]; }
tone() { sox -n -r "$3" -c "$4" -b 16 "$work/$1" synth "$5" sine "$2" vol 0.2441; } # amplitude 8000

# ---- what was installed --------------------------------------------------------------------
test_card_belongs_to_the_group() {
	cat /proc/asound/cards
	[ "$(cat /sys/class/sound/card20/id)" = loopline ]
	[ "$(ls -d /proc/asound/card20/pcm0p/sub* | wc -l)" -eq 8 ]
	udevadm settle
	ls -l /dev/snd
	for node in /dev/snd/controlC20 /dev/snd/pcmC20D0p /dev/snd/pcmC20D0c /dev/snd/pcmC20D1p /dev/snd/pcmC20D1c; do
		[ "$(stat -c '%G %a' $node)" = "loopline 660" ]
	done
	udevadm info /sys/class/sound/card20 | grep -x 'E: PULSE_IGNORE=1'
	udevadm info /sys/class/sound/card20 | grep -x 'E: ACP_IGNORE=1'
	[ "$(stat -c '%U:%G %a' /run/loopline)" = "loopline:loopline 2750" ]
}

# What `make install` puts where, the units as systemd reads them, the man pages as man does.
test_what_is_installed() {
	local file lib
	lib=$(ldd "$(command -v aplay)" | sed -n 's/.*=> \(.*\)\/libasound.so.2 .*/\1/p')
	for file in /usr/bin/loopline-{bridge,discord} /usr/lib/loopline/ipc-leftovers \
		"$lib/alsa-lib/libasound_module_pcm_cable.so" /etc/alsa/conf.d/60-loopline.conf \
		/usr/lib/systemd/system/loopline-{bridge.service,bridge.socket,discord.service} \
		/usr/lib/{sysusers.d,tmpfiles.d,modules-load.d,modprobe.d}/loopline.conf \
		/usr/lib/udev/rules.d/70-loopline.rules \
		/usr/share/doc/loopline/examples/{asound.conf.example,loopline.conf.example,cable-only.conf} \
		/usr/share/man/man8/loopline-{bridge,discord}.8 /usr/share/man/man5/{loopline.conf,alsa-cable}.5; do
		[ -s "$file" ] || { echo "no $file"; return 1; }
		case $file in
		*/man/*) grep -q '^\.SH NAME' "$file" || { echo "$file is no man page"; return 1; } ;;
		*/bin/*|*ipc-leftovers) [ -x "$file" ] ;;
		esac
	done
	systemd-analyze verify --man=no loopline-bridge.service loopline-bridge.socket loopline-discord.service
	! grep -E '^RuntimeDirectory=|^Environment=.*(TOKEN|KEY)' /usr/lib/systemd/system/loopline-*
}

# ---- users ---------------------------------------------------------------------------------
# A member of the group records, two at once; two others play into it at once, in odd formats.
test_members_record_and_play() {
	local p q
	tone eight.wav 1234 8000 1 4
	tone fortyfour.wav 440 44100 2 4
	as alice arecord -q -D phone -f S16_LE -r 48000 -c 1 -d 7 "$work/a.wav" & p=$!
	as dave arecord -q -D phone:0 -f S16_LE -r 48000 -c 1 -d 7 "$work/b.wav" & q=$!
	as alice arecord -q -D discord -f S16_LE -r 48000 -c 1 -d 7 "$work/c.wav" &
	sleep 1.5
	as alice aplay -q -D phone "$work/eight.wav" &
	as dave aplay -q -D phone "$work/fortyfour.wav"
	wait $p $q
	present a.wav 440; present a.wav 1234
	present b.wav 440; present b.wav 1234
	wait
	absent c.wav 440; absent c.wav 1234
}

# Not in the group: refused with words that say so, even for group audio.
test_others_are_refused() {
	local user
	for user in bob carol; do
		refused as $user arecord -q -D phone -f S16_LE -r 48000 -c 1 -d 1 /tmp/x.wav 2>$user.err
		cat $user.err
		grep -qi 'permission denied' $user.err
		refused as $user aplay -q -D discord "$work/eight.wav" 2>$user.err
		cat $user.err
		grep -qi 'permission denied' $user.err
	done
	# and they have left nothing behind that would lock the others out
	as alice arecord -q -D phone -f S16_LE -r 48000 -c 1 -d 1 "$work/after.wav"
}

# The first who opens dmix or dsnoop is killed: nobody else notices.
test_death_of_the_first_opener() {
	local r1 r2 w1 w2
	tone long.wav 700 48000 1 8
	as alice arecord -q -D phone:2 -f S16_LE -r 48000 -c 1 /tmp/first.wav & r1=$!
	sleep 1
	as dave arecord -q -D phone:2 -f S16_LE -r 48000 -c 1 -d 9 "$work/d.wav" & r2=$!
	sleep 0.5
	as dave aplay -q -D phone:2 "$work/eight.wav" & w1=$!
	sleep 1
	as alice aplay -q -D phone:2 "$work/long.wav" & w2=$!
	sleep 1
	kill -9 $w1 $r1
	wait $w2
	wait $r2
	present d.wav 700
	as dave aplay -q -D phone:2 "$work/eight.wav"
}

# ---- our code on the card ------------------------------------------------------------------
# A unit test program: its own lines are passed on, with "vm_" before the name.
program() {
	"$@" >"$work/lines" 2>"$work/${FUNCNAME[1]}.err" || true
	cat "$work/lines" "$work/${FUNCNAME[1]}.err"
	verdict "$work/lines"
}
verdict() { grep -q '^ok' "$1" && [ "$(grep -c '^not ok' "$1")" -eq 0 ]; }
refused() { if "$@"; then echo "not refused: $*"; return 1; fi; } # set -e does not look at "! command"
test_ports_on_the_card() { cd "$top"; program env LOOPLINE_CARD=1 "$bin/test_port_card"; }
test_examples_on_the_card() { cd "$top"; program as alice env LOOPLINE_EXAMPLES=installed "$bin/test_examples"; }
# On the cable as well: here PulseAudio and PipeWire are there for certain.
test_examples_on_the_cable() { cd "$top"; program as alice env BUILD="$build" "$bin/test_examples"; }

# Figures, not a verdict: what the card costs, with the periods of asound.conf.example and two others.
test_delay_on_the_card() {
	local period
	cd "$top"
	for period in 384 576 960; do
		sed "s/period_size 384/period_size $period/; s/buffer_size 3072/buffer_size $((period * 8))/;
		     s/buffer_size 6144/buffer_size $((period * 16))/; s/ipc_key 5615100/ipc_key $((5615200 + period))/" \
			/etc/asound.conf >/tmp/delay.conf
		# by a hook, which comes after the one that reads /etc/asound.conf
		printf '%s\n' '</usr/share/alsa/alsa.conf>' \
			'@hooks.1 { func load  files [ "/tmp/delay.conf" ]  errors true }' >/tmp/delay-top.conf
		echo "# period $period, emulated, HZ=250"
		ALSA_CONFIG_PATH=/tmp/delay-top.conf "$bin/bench_pcm" phone:7 4 "$period" | sed 's/^/# /'
		ALSA_CONFIG_PATH=/tmp/delay-top.conf "$bin/bench_pcm" discord:7 4 "$period" | sed 's/^/# /'
	done
}

# Both services under systemd, with the sandbox around them; its lines are passed on as they come.
test_services_under_systemd() {
	cd "$top"
	local status=0
	BUILD=$build timeout 560 "$bin/vm_call" 2>"$work/vm_call.err" | tee "$work/vm_call.out" |
		sed -unE "$inside" >&9
	status=${PIPESTATUS[0]}
	cp -r /tmp/loopline-vm-call "$results/" 2>/dev/null || true
	journalctl -b --no-pager -u 'loopline-*' >"$work/journal" 2>&1 || true
	[ $status -eq 0 ] || echo "not ok test_vm_call: ended with status $status (124: out of time)"
	[ $status -eq 0 ] && verdict "$work/vm_call.out"
}

warm
run card_belongs_to_the_group 60
run what_is_installed 60
run members_record_and_play 90
run others_are_refused 60
run death_of_the_first_opener 90
run ports_on_the_card 180
run examples_on_the_card 240
run examples_on_the_cable 240
run delay_on_the_card 180
run services_under_systemd 600
cp -r $work/. "$results/" 2>/dev/null || true
exit $failed
