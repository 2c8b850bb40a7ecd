#!/bin/sh
# The architecture law: common/ knows nothing above it; alsa/ uses only common/; bridge/ and
# discord/ never include each other; discord/mls/ stands alone; the simulators link none of ours
# but common/. Also refuses include cycles between headers. Prints each breach, exits 1 if any.
set -u
cd "$(dirname "$0")/../.." || exit 2
breaches=0
deny() { # deny ROOM PATTERN WHY
	[ -d "$1" ] || return 0
	hits=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*\"($2)" "$1" --include='*.c' --include='*.h' $4 $5) || return 0
	echo "$3:"; echo "$hits" | sed 's/^/  /'
	breaches=1
}
deny common '(alsa|bridge|discord|tests)/' 'common/ must know nothing of the rooms above it' '' ''
deny alsa '(bridge|discord|tests)/' 'alsa/ may use only common/' '' ''
deny alsa/cable '(common|alsa/[a-z_]+\.h)' 'alsa/cable/ (a plugin in strangers'"'"' processes) stands alone' '' ''
deny bridge '(discord|tests)/' 'bridge/ must not include discord/' '' ''
deny discord '(bridge|tests)/' 'discord/ must not include bridge/' '' ''
deny discord/mls '(common|alsa|bridge|discord/[a-ln-z]|discord/[a-z_]+\.h|tests)' 'discord/mls/ stands alone' '' ''
deny discord/dave '(alsa|discord/[a-z_]+\.h)' 'discord/dave/ knows MLS and common, not the transport' '' ''
deny tests/sim '(alsa|bridge|discord)/' 'the simulators share no code with what they test' '' ''

# cycles: every header's transitive project includes must not contain itself
headers=$(find common alsa bridge discord -name '*.h')
for h in $headers; do
	seen= todo=$h
	while [ -n "$todo" ]; do
		next=
		for t in $todo; do
			for i in $(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]+)".*/\1/p' "$t" 2>/dev/null); do
				[ "$i" = "$h" ] && { echo "include cycle through $h (closed by $t)"; breaches=1; next=; todo=; break 2; }
				case " $seen " in *" $i "*) ;; *) seen="$seen $i"; next="$next $i" ;; esac
			done
		done
		todo=$next
	done
done
[ $breaches -eq 0 ] && echo "architecture: no breach"
exit $breaches
