#!/usr/bin/env bash
# Measures Penstock beside Kafka Streams and Flink on one real Kafka: builds all, starts the broker in a
# container, loads 5 M transactions with Zipf and with uniform keys, and prints Markdown tables and, at
# the end, every figure beside its target. Takes some twenty minutes; needs a container engine, Java 17+
# and Maven.
#
#   BENCH_EVENTS=200000 bench/run.sh        a look in a few minutes
#   BENCH_STEPS=flink,ingest bench/run.sh   some steps only
#   BENCH_FLAGS="-keys zipf" bench/run.sh   flags of bench/cmd, which names the steps too: `go run ./bench/cmd -help`
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p dist
go build -o dist/bench ./bench/cmd
steps=${BENCH_STEPS:-$(dist/bench -default-steps)}
does() { [[ ",$steps," == *",$1"[,-]* ]]; }

for step in $(dist/bench -kafka-steps); do
	if does "$step"; then
		deploy/kafka-image.sh
		break
	fi
done
for peer in kstreams flink; do
	if does "$peer"; then
		newest=$(find bench/$peer/pom.xml bench/$peer/src -newer bench/$peer/target/$peer-bench.jar 2>/dev/null || echo none)
		[ -z "$newest" ] || mvn --batch-mode --quiet -f "bench/$peer/pom.xml" package >&2
	fi
done
make --no-print-directory build >&2
! does store || go test -c -o dist/feature.test ./feature
! does expr || go test -c -o dist/expr.test ./transforms/expr
events=${BENCH_EVENTS:-5000000}
spine=1000000
[ "$events" -ge 5000000 ] || spine=$((events / 5))
# The flags are a list of words.
# shellcheck disable=SC2086
exec dist/bench -events "$events" -spine "$spine" -steps "$steps" ${BENCH_FLAGS:-}
