#!/usr/bin/env bash
# Starts a container engine by hand where no service manager runs one (a CI container, a minimal
# machine). Does nothing if one answers already. Needs root and Debian's docker.io.
set -euo pipefail

log=${DOCKERD_LOG:-/var/log/dockerd.log}

answers() { docker info >/dev/null 2>&1; }

if answers; then
	exit 0
fi
if ! command -v dockerd >/dev/null; then
	echo "dockerd.sh: dockerd is not installed; on Debian: apt-get install docker.io" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "dockerd.sh: starting the container engine needs root" >&2
	exit 1
fi

# start OPTION...: true once the engine answers, false if it ended or stayed silent.
start() {
	setsid dockerd "$@" >>"$log" 2>&1 </dev/null &
	local pid=$!
	for _ in $(seq 1 60); do
		if answers; then
			return 0
		fi
		if ! kill -0 "$pid" 2>/dev/null; then
			return 1
		fi
		sleep 0.5
	done
	kill "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	return 1
}

# From the best to what works nearly everywhere: without overlayfs, then without iptables
# (published ports then go through docker-proxy).
: >"$log"
for options in "" "--storage-driver=vfs" "--iptables=false" "--storage-driver=vfs --iptables=false"; do
	echo "== dockerd $options" >>"$log"
	# The options are a list of words.
	# shellcheck disable=SC2086
	if start $options; then
		echo "dockerd.sh: container engine started${options:+ with $options}, log in $log" >&2
		exit 0
	fi
done
echo "dockerd.sh: the container engine does not start; its log ends:" >&2
tail -n 20 "$log" >&2
exit 1
