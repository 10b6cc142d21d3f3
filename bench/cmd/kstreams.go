package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
)

// ingested is how fast a system took events in, with them stored at the end.
type ingested struct {
	events  int64
	seconds float64 // from the start of the process, its own start-up included
	cpu     float64 // seconds of processor time
	peak    int64   // bytes of resident memory
}

func (i *ingested) rate() float64    { return float64(i.events) / i.seconds }
func (i *ingested) perCore() float64 { return float64(i.events) / i.cpu }

// kafkaStreams runs bench/kstreams on the topic.
func kafkaStreams(ctx context.Context, c *config, topic string) (*ingested, error) {
	var out bytes.Buffer
	p, err := start(ctx, filepath.Join(c.work, topic+"-kstreams.log"), &out, nil, "java", "-Xmx2g",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(c.kstreams, "kstreams-bench.jar")+":"+filepath.Join(c.kstreams, "libs")+"/*",
		"penstock.bench.Tiles",
		"bootstrap="+c.broker, "topic="+topic, "schema="+c.schema,
		"state="+filepath.Join(c.work, topic+"-kstreams"),
		"threads="+strconv.Itoa(c.ksThreads), "seconds="+strconv.Itoa(c.ksSeconds))
	if err != nil {
		return nil, err
	}
	if err := p.wait(c.limit); err != nil {
		return nil, err
	}
	var answer struct {
		Events  int64   `json:"events"`
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		return nil, fmt.Errorf("read Kafka Streams' answer %q: %w", out.String(), err)
	}
	if answer.Events == 0 {
		return nil, fmt.Errorf("read Kafka Streams' answer: no events processed\n%s", tail(p.log))
	}
	// Its own seconds, from main to closed: the start of the virtual machine is not counted against it.
	return &ingested{answer.Events, answer.Seconds, p.cpu(), p.peak()}, nil
}
