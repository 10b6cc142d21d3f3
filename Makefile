# `make` lists what there is. Logic that grows goes into scripts: .ci/ for checks, deploy/ for images,
# bench/ for measurements.
.DEFAULT_GOAL := help
.PHONY: help build demo test test-fast lint fuzz kill proof parity arm64 bench kafka-image image compose-check clean

FUZZ_SECONDS ?= 30
KILLS ?= 500
SEEDS ?= 2000
PAIRS ?= 1000000

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build dist/penstock
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.commit=$$(git rev-parse --short=12 HEAD 2>/dev/null)" -o dist/penstock ./cmd/penstock

demo: ## features of real flights, live, in a minute; no Kafka or Docker needed
	go run ./cmd/penstock demo

test: ## everything CI runs: lint, race detector, real Kafka if a container engine is there, fuzz, examples
	.ci/test

test-fast: ## the Go tests, no race detector
	go test ./...

lint: ## vet, staticcheck, gofumpt
	.ci/lint

fuzz: ## fuzz every target for FUZZ_SECONDS each
	.ci/fuzz $(FUZZ_SECONDS)

kill: ## kill the real program KILLS times over topics, over those of a random pipeline, and over files, and compare
	PENSTOCK_KILLS=$(KILLS) go test -count=1 -timeout 90m -run TestKill ./internal/e2e

proof: ## random pipelines and simulated runs against the oracle, SEEDS of each (PENSTOCK_SEED replays one)
	PENSTOCK_SEEDS=$(SEEDS) go test -count=1 -timeout 90m ./internal/proof

arm64: ## tables have the same bytes on an emulated arm64 machine (needs qemu-user)
	PENSTOCK_ARM64=1 go test -count=1 -timeout 30m -v -run TestSameBytesOnARM64 ./export ./internal/proof

parity: ## a million values exported and served, of one process: the same text (PAIRS)
	PENSTOCK_PAIRS=$(PAIRS) go test -count=1 -timeout 30m -run TestParity -v ./internal/e2e

bench: ## the figures of docs/benchmarks, Kafka Streams and Flink beside them (BENCH_EVENTS, BENCH_STEPS, BENCH_FLAGS)
	bench/run.sh

kafka-image: ## make the image apache/kafka:4.1.0 available: pulled, or built here
	deploy/kafka-image.sh

image: ## build the image penstock:dev
	docker build -f deploy/Dockerfile -t penstock:dev .

compose-check: ## validate docker-compose.yml, Prometheus' and Grafana's files
	go test ./deploy/...

clean: ## remove what was built here
	rm -rf dist bench/.cache bench/kstreams/target bench/flink/target
