package kafkatest

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// sample returns records with binary keys and values, old timestamps, a null value and a header.
func sample() []Record {
	at := time.UnixMilli(1_357_380_000_123).UTC()
	return []Record{
		{Partition: 0, Key: []byte("u1"), Value: []byte{0, 0, 0, 0, 7, 0xff, 0x80}, Time: at},
		{Partition: 1, Key: []byte{0xfe}, Value: nil, Time: at.Add(time.Millisecond)},
		{
			Partition: 2, Key: nil, Value: []byte{}, Time: at.Add(-time.Hour),
			Headers: []Header{{"h", []byte{1, 0}}},
		},
		{Partition: 2, Key: []byte("u2"), Value: bytes.Repeat([]byte("penstock"), 200), Time: at},
	}
}

func same(a, b Record) bool {
	return a.Partition == b.Partition && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		(a.Value == nil) == (b.Value == nil) && a.Time.Equal(b.Time) &&
		slices.EqualFunc(a.Headers, b.Headers, func(x, y Header) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) })
}

func TestEveryProducerAndCodec(t *testing.T) {
	b := Shared(t)
	for _, p := range Producers() {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			t.Run(p.Name+"/"+codec, func(t *testing.T) {
				topic := fmt.Sprintf("codec-%s-%s", p.Name, codec)
				b.Topic(t, topic, 3)
				p.Produce(t, b, topic, Producing{Codec: codec}, sample())
				got := b.Consume(t, topic, len(sample()))
				slices.SortStableFunc(got, func(a, b Record) int { return int(a.Partition - b.Partition) })
				if !slices.EqualFunc(got, sample(), same) {
					t.Errorf("got %v, want %v", got, sample())
				}
			})
		}
	}
}

func TestTransactions(t *testing.T) {
	b := Shared(t)
	for _, p := range Producers() {
		t.Run(p.Name, func(t *testing.T) {
			topic := "transactions-" + p.Name
			b.Topic(t, topic, 1)
			one := func(s string) []Record { return []Record{{Partition: 0, Value: []byte(s)}} }
			p.Produce(t, b, topic, Producing{Transaction: "abort"}, one("aborted"))
			p.Produce(t, b, topic, Producing{Transaction: "commit"}, one("committed"))
			got := b.Consume(t, topic, 1)
			if len(got) != 1 || string(got[0].Value) != "committed" || got[0].Offset != 2 {
				t.Errorf("got %v, want only the committed record, at offset 2", got)
			}
		})
	}
}

func TestConsoleProducer(t *testing.T) {
	b := Shared(t)
	b.Topic(t, "console", 1)
	ConsoleProduce(t, b, "console", "not avro\n{\"a\": 1}\n")
	var lines []string
	for _, r := range b.Consume(t, "console", 2) {
		lines = append(lines, string(r.Value))
	}
	if got := strings.Join(lines, "|"); got != `not avro|{"a": 1}` {
		t.Errorf("got %q", got)
	}
}

func TestDeleteRecords(t *testing.T) {
	b := Shared(t)
	b.Topic(t, "deleted", 1)
	Produce(t, b, "deleted", Producing{}, []Record{{Value: []byte("a")}, {Value: []byte("b")}, {Value: []byte("c")}})
	b.DeleteRecords(t, "deleted", 0, 2)
	if got := b.Consume(t, "deleted", 1); got[0].Offset != 2 || string(got[0].Value) != "c" {
		t.Errorf("first record is %v, want c at offset 2", got[0])
	}
}

// TestRestart shows that records and the address survive a restart and a kill.
func TestRestart(t *testing.T) {
	b := Start(t)
	b.Topic(t, "kept", 2)
	Produce(t, b, "kept", Producing{}, []Record{{Partition: 1, Value: []byte("before")}})
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	Produce(t, b, "kept", Producing{}, []Record{{Partition: 1, Value: []byte("between")}})
	if err := b.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.leaders(t.Context()); err == nil {
		t.Error("a killed broker answers")
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	Produce(t, b, "kept", Producing{}, []Record{{Partition: 1, Value: []byte("after")}})
	var values []string
	for _, r := range b.Consume(t, "kept", 3) {
		values = append(values, string(r.Value))
	}
	if want := []string{"before", "between", "after"}; !slices.Equal(values, want) {
		t.Errorf("got %v, want %v", values, want)
	}
}
