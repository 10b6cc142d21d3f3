#!/usr/bin/env bash
# Makes the image apache/kafka:4.1.0 available to the local container engine.
#
# It is found, or pulled, or, where no image registry can be reached, built here: Debian's Java, the
# jars of Kafka from Maven's repository, and the official image's contract (KAFKA_* variables,
# /etc/kafka/docker/run, /opt/kafka/bin, port 9092). Building needs root, debootstrap and mvn, and
# takes about two minutes; a finished build is kept and imported in seconds.
#
#   PENSTOCK_CACHE    where the build is kept (default ~/.cache/penstock)
#   KAFKA_IMAGE_PULL  0: do not try to pull
#   DEBIAN_MIRROR     mirror for debootstrap (default: its own)
set -euo pipefail

image=apache/kafka:4.1.0
here=$(cd "$(dirname "$0")" && pwd)
parts=$here/kafka-image
cache=${PENSTOCK_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/penstock}

say() { echo "kafka-image: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# What the build depends on; a change of it is another build.
recipe=$(cat "$0" "$parts"/* | sha256sum | cut -c1-16)
tarball=$cache/kafka-image-$recipe.tar

# found: the image is here: the official one, or ours of this recipe.
found() {
	local label
	label=$(docker image inspect --format '{{ index .Config.Labels "org.penstock.recipe" }}' "$image" 2>/dev/null) || return 1
	[ -z "$label" ] || [ "$label" = "$recipe" ]
}

need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || die "building the image needs $tool; on Debian: apt-get install debootstrap maven"
	done
	[ "$(id -u)" -eq 0 ] || die "building the image needs root (debootstrap)"
}

jars() { # jars DIR
	say "fetching Kafka's jars"
	mvn --batch-mode --quiet -f "$parts/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$1"
	[ -n "$(find "$1" -name 'kafka_2.13-*.jar')" ] || die "Maven left no Kafka jar in $1"
}

system() { # system ROOT
	say "installing Debian and Java"
	debootstrap --variant=minbase --include=openjdk-17-jre-headless,ca-certificates-java \
		bookworm "$1" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/debootstrap.log" 2>&1 || {
		tail -n 20 "$work/debootstrap.log" >&2
		die "debootstrap did not finish"
	}
	rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* \
		"$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*
}

layout() { # layout ROOT
	local root=$1 tool
	mkdir -p "$root"/opt/kafka/{bin,config,logs} "$root"/etc/kafka/{docker,secrets} \
		"$root"/mnt/shared/config "$root"/var/lib/kafka/data
	install -m 755 "$parts/run" "$root/etc/kafka/docker/run"
	install -m 644 "$parts/server.properties" "$parts/log4j2.yaml" "$parts/tools-log4j2.yaml" "$root/etc/kafka/docker/"
	for tool in topics configs console-producer console-consumer consumer-groups get-offsets \
		delete-records broker-api-versions storage run-class; do
		install -m 755 "$parts/tool" "$root/opt/kafka/bin/kafka-$tool.sh"
	done
	echo 'appuser:x:1000:1000::/opt/kafka:/bin/sh' >>"$root/etc/passwd"
	echo 'appuser:x:1000:' >>"$root/etc/group"
	chown -R 1000:1000 "$root"/opt/kafka/config "$root"/opt/kafka/logs "$root"/etc/kafka \
		"$root"/mnt/shared "$root"/var/lib/kafka
}

build() {
	need debootstrap mvn tar
	work=$(mktemp -d "$cache/build.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	system "$work/root"
	jars "$work/root/opt/kafka/libs"
	layout "$work/root"
	rm -f "$cache"/kafka-image-*.tar
	tar -C "$work/root" --numeric-owner --exclude=./proc/* --exclude=./sys/* -cf "$work/image.tar" .
	mv "$work/image.tar" "$tarball"
}

docker info >/dev/null 2>&1 || die "no container engine answers; start one, for instance with deploy/dockerd.sh"
if found; then
	exit 0
fi
# Of several at once, one builds and the others find what it built.
mkdir -p "$cache"
exec 9>"$cache/kafka-image.lock"
flock 9
if found; then
	exit 0
fi
if [ "${KAFKA_IMAGE_PULL:-1}" != 0 ] && ! docker image inspect "$image" >/dev/null 2>&1; then
	say "pulling $image"
	if timeout 300 docker pull --quiet "$image" >&2; then
		exit 0
	fi
	say "cannot be pulled; building it here"
fi
if [ ! -s "$tarball" ]; then
	build
fi
docker import \
	--change 'ENTRYPOINT []' \
	--change 'CMD ["/etc/kafka/docker/run"]' \
	--change 'USER 1000:1000' \
	--change 'EXPOSE 9092' \
	--change 'ENV PATH=/opt/kafka/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
	--change 'WORKDIR /' \
	--change "LABEL org.penstock.recipe=$recipe" \
	"$tarball" "$image" >/dev/null
say "$image is ready"
