// Package deps pins modules while their first users are being written; delete it when they exist.
package deps

import (
	_ "github.com/alecthomas/kong"
	_ "github.com/dgraph-io/badger/v4"
	_ "github.com/expr-lang/expr"
	_ "github.com/goccy/go-yaml"
	_ "github.com/invopop/jsonschema"
	_ "github.com/klauspost/compress/gzip"
	_ "github.com/klauspost/compress/s2"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/linkedin/goavro/v2"
	_ "github.com/parquet-go/parquet-go"
	_ "github.com/pierrec/lz4/v4"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/segmentio/kafka-go"
	_ "github.com/segmentio/kafka-go/protocol/fetch"
	_ "github.com/testcontainers/testcontainers-go"
	_ "github.com/tidwall/btree"
	_ "github.com/twmb/avro"
	_ "github.com/twmb/franz-go/pkg/kfake"
	_ "github.com/twmb/franz-go/pkg/kgo"
	_ "github.com/twmb/franz-go/pkg/sr"
	_ "github.com/twmb/franz-go/pkg/sr/srfake"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sys/unix"
)
