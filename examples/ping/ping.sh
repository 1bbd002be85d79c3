#!/bin/sh
# ping.sh [--] TARGET SECONDS
#
# One echo request a second; exit code 0 when TARGET answers. TARGET is an
# address, a name with a dot, or a name out of the files hosts and hosts.local
# beside this script. Runs with Debian's, macOS's and busybox's ping.
set -eu

if [ "$1" = -- ]; then shift; fi
target=$1 seconds=$2

fail() { echo "ping: $1" >&2; exit 2; }

case $target in
*[!A-Za-z0-9.:_-]*) fail "'$target' is neither a name nor an address" ;;
esac

address=$(cat hosts hosts.local 2>/dev/null | name=$target awk '$2 == ENVIRON["name"] { print $1; exit }')
if [ -z "$address" ]; then
	case $target in
	*.* | *:*) address=$target ;;
	*) fail "$target is unknown; to make it known: echo 127.0.0.1 $target >> $PWD/hosts.local" ;;
	esac
fi

if ping -c 1 127.0.0.1 >/dev/null 2>&1; then
	exec ping -c "$seconds" -- "$address"
fi

# Many containers have no ping, or one that may not open its socket. There a
# TCP connection does: a host that refuses it has answered too.
command -v bash >/dev/null || fail "there is no ping here that works, and no bash to do without"
sent=0
while [ "$sent" -lt "$seconds" ]; do
	[ "$sent" -eq 0 ] || sleep 1
	sent=$((sent + 1))
	if answer=$(LC_ALL=C bash -c ': <>"/dev/tcp/$0/7"' "$address" 2>&1); then
		answer=connected
	fi
	case $answer in
	connected | *refused*) echo "answer from $address: seq=$sent (TCP, for want of a working ping)" ;;
	*) fail "$address does not answer: $(echo "$answer" | sed -n '1s/.*: //p')" ;;
	esac
done
