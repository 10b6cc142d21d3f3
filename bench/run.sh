#!/usr/bin/env bash
# Measures Penstock beside Kafka Streams on one real Kafka: builds both, starts the broker in a
# container, loads 5 M transactions with Zipf and with uniform keys, and prints Markdown tables. Takes
# some ten minutes; needs a container engine, Java 17+ and Maven.
#
#   BENCH_EVENTS=300000 bench/run.sh        a look in two minutes
#   BENCH_FLAGS="-keys zipf" bench/run.sh   flags of bench/cmd: see `go run ./bench/cmd -help`
set -euo pipefail
cd "$(dirname "$0")/.."

steps=${BENCH_STEPS:-kstreams,ingest,export,http}
deploy/kafka-image.sh
case $steps in
*kstreams*)
	newest=$(find bench/kstreams/pom.xml bench/kstreams/src -newer bench/kstreams/target/kstreams-bench.jar 2>/dev/null || echo none)
	[ -z "$newest" ] || mvn --batch-mode --quiet -f bench/kstreams/pom.xml package
	;;
esac
case $steps in
*ingest* | *export* | *http*) make --no-print-directory build ;;
esac
mkdir -p dist
go build -o dist/bench ./bench/cmd
events=${BENCH_EVENTS:-5000000}
spine=1000000
[ "$events" -ge 5000000 ] || spine=$((events / 5))
# The flags are a list of words.
# shellcheck disable=SC2086
exec dist/bench -events "$events" -spine "$spine" -steps "$steps" ${BENCH_FLAGS:-}
