package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/stream"
)

type produceCmd struct {
	File       string   `arg:"" help:"Rows: .csv, .jsonl or .avro, plain, .gz or .zst."`
	Brokers    []string `required:"" placeholder:"HOST:PORT,…" help:"Kafka brokers."`
	Topic      string   `required:"" help:"Topic to produce to."`
	Schema     string   `placeholder:"FILE" help:"Avro schema of a row (.avsc); a container file (.avro) brings its own."`
	Registry   string   `placeholder:"URL" xor:"id" required:"" help:"Schema registry: the schema is registered there."`
	Subject    string   `help:"Subject in the registry; default TOPIC-value."`
	ID         *uint32  `name:"id" placeholder:"N" xor:"id" required:"" help:"Schema id to write, without a registry."`
	Key        string   `placeholder:"COL" help:"Column of the message key, which chooses the partition; default no key."`
	Time       string   `placeholder:"COL" help:"Timestamp column that becomes the record's timestamp; default the time of producing."`
	Partitions int      `placeholder:"N" help:"Create the topic with N partitions if it is missing; with --time it keeps records for ever, however old they are."`
	JSON       bool     `name:"json" help:"Print the report as JSON."`
}

// Help shows an example.
func (produceCmd) Help() string {
	return `Example:
  penstock produce transactions.csv --brokers localhost:9092 --topic transactions --schema transactions.avsc \
    --registry http://localhost:8081 --key user_id --time ts --partitions 4

Timestamps in CSV and JSON lines are RFC 3339 with a zone, bytes base64; an empty field of CSV is null.
Nested fields of CSV stand in columns with dotted names. What a row lacks has its default, else null.
A row that does not fit its schema ends it: the rows before it are sent, those behind are not.`
}

// produced is the report.
type produced struct {
	File     string `json:"file"`
	Topic    string `json:"topic"`
	Rows     int64  `json:"rows"`
	SchemaID uint32 `json:"schema_id"`
}

// Run sends every row and prints how many were acknowledged.
func (c produceCmd) Run(e *env) error {
	if c.ID != nil && c.Subject != "" {
		return misuse{errors.New("--subject is of a registry, and --id asks none")}
	}
	if c.Partitions < 0 {
		return misuse{errors.New("--partitions must be at least 1")}
	}
	rows, err := c.open(e)
	if err != nil {
		return err
	}
	k := &pipeline.Kafka{Brokers: c.Brokers, Topic: c.Topic, ClientID: "penstock-produce"}
	done, err := c.send(e, k, rows)
	if err := errors.Join(err, rows.Close()); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.out).Encode(done)
	}
	_, err = fmt.Fprintf(e.out, "produced %d rows to %s, schema id %d\n", done.Rows, c.Topic, done.SchemaID)
	return err
}

func (c produceCmd) open(e *env) (*stream.Rows, error) {
	cfg := stream.RowsConfig{Path: c.File, Key: c.Key, Time: c.Time, Extra: func(column string) {
		e.log.Warn("the schema has no such field: the column is left out", "column", column)
	}}
	if c.Schema != "" {
		var err error
		if cfg.Schema, err = os.ReadFile(c.Schema); err != nil {
			return nil, missing(fmt.Errorf("read schema: %w", err))
		}
	}
	rows, err := stream.OpenRows(cfg)
	var format *stream.FormatError
	if errors.As(err, &format) {
		return nil, hinted{misuse{err}, format.Hint()}
	}
	return rows, missing(err)
}

// missing makes misuse of a file that does not exist.
func missing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return misuse{err}
	}
	return err
}

func (c produceCmd) send(e *env, k *pipeline.Kafka, rows *stream.Rows) (*produced, error) {
	exists, err := stream.TopicExists(e.ctx, k, c.Topic)
	switch {
	case err != nil:
		return nil, err
	case !exists && c.Partitions == 0:
		return nil, hinted{fmt.Errorf("topic %s does not exist", c.Topic), "--partitions N creates it"}
	case !exists:
		spec := stream.TopicSpec{Name: c.Topic, Partitions: c.Partitions, Forever: c.Time != ""}
		if err := stream.CreateTopic(e.ctx, k, spec); err != nil {
			return nil, err
		}
	}
	out := &produced{File: c.File, Topic: c.Topic}
	if c.ID != nil {
		out.SchemaID = *c.ID
	} else {
		ref := pipeline.RegistryRef{URL: c.Registry, Subject: c.Subject}
		if ref.Subject == "" {
			ref.Subject = c.Topic + "-value"
		}
		if out.SchemaID, err = stream.Register(e.ctx, ref, rows.Schema()); err != nil {
			return nil, err
		}
	}
	out.Rows, err = rows.Send(e.ctx, stream.ProduceConfig{Kafka: k, Topic: c.Topic}, out.SchemaID)
	var bad *stream.RowError
	switch {
	case errors.As(err, &bad):
		return nil, fmt.Errorf("%w\n  %d rows before it were acknowledged, none behind it was sent", err, out.Rows)
	case err != nil:
		return nil, fmt.Errorf("%w\n  %d rows were acknowledged; some of those under way may have been written", err, out.Rows)
	}
	return out, nil
}
