#!/bin/sh
# ipc-leftovers - removes what users of dmix and dsnoop have left of the loopback's lines.
#
# usage: ipc-leftovers        as root; installed in /usr/lib/loopline, run by both units before they start
#
# dmix and dsnoop of one name share SysV memory. Whoever comes first makes it, whoever leaves last
# removes it; but only its maker may, so it stays if that is somebody else (or is killed). That is
# harmless until the buffers in asound.conf grow or a line becomes stereo: then what is there is too
# small, and only its maker and root can make room ("unable to initialize sum ring buffer").
# So: memory of group loopline to which nobody is attached, and the semaphore of the same key. Somebody
# who opens the name at this very instant may have to try again; the services do.
set -u
group=$(id -g loopline) && [ -r /proc/sysvipc/shm ] || exit 0
while read -r key id _ size _ _ attached owner gid _; do
	[ "$attached" = 0 ] && [ "$gid" = "$group" ] && [ "$key" != 0 ] || continue
	ipcrm -m "$id" && echo "removed $size bytes that user $owner left, key $key"
	ipcrm -S "$key" 2>/dev/null # the sums have none of their own
done </proc/sysvipc/shm
exit 0
