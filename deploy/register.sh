#!/usr/bin/env bash
# Registers deploy/transactions.avsc as subject transactions-value in the schema registry of
# docker-compose.yml, or in the one of SCHEMA_REGISTRY_URL. Needs curl and python3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
url=${SCHEMA_REGISTRY_URL:-http://localhost:8081/apis/ccompat/v7}
python3 -c 'import json, sys; print(json.dumps({"schema": sys.stdin.read()}))' <"$here/transactions.avsc" |
	curl --fail --silent --show-error --header 'Content-Type: application/vnd.schemaregistry.v1+json' \
		--data @- "$url/subjects/transactions-value/versions"
echo
