package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/schemas"
)

// compress compresses records with a codec; variant chooses among the framings in use.
func compress(t testing.TB, codec, variant int, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	switch codec {
	case codecNone:
		return b
	case codecGzip:
		w := gzip.NewWriter(&out)
		_, err := w.Write(b)
		must(err)
		must(w.Close())
	case codecSnappy:
		if variant == 0 {
			return snappy.Encode(nil, b)
		}
		out.Write(xerial)
		out.Write([]byte{0, 0, 0, 1, 0, 0, 0, 1})
		for len(b) > 0 { // chunks of 100 bytes
			n := min(len(b), 100)
			chunk := snappy.Encode(nil, b[:n])
			must(binary.Write(&out, binary.BigEndian, uint32(len(chunk))))
			out.Write(chunk)
			b = b[n:]
		}
	case codecLZ4:
		w := lz4.NewWriter(&out)
		if variant == 1 {
			must(w.Apply(lz4.BlockChecksumOption(true), lz4.BlockSizeOption(lz4.Block64Kb)))
		}
		_, err := w.Write(b)
		must(err)
		must(w.Close())
	case codecZstd:
		w, err := zstd.NewWriter(&out)
		must(err)
		if variant == 0 {
			return w.EncodeAll(b, nil) // with the size in its head
		}
		_, err = w.Write(b)
		must(err)
		must(w.Close())
	}
	return out.Bytes()
}

// build encodes a batch by franz-go's types; offsets need not be dense.
func build(t testing.TB, base int64, attributes int16, variant int, first, maxTime int64, records []kmsg.Record, lastDelta int32) []byte {
	var body []byte
	for _, r := range records {
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the one byte that a length of 0 takes
		body = r.AppendTo(body)
	}
	b := kmsg.RecordBatch{
		FirstOffset: base, PartitionLeaderEpoch: 3, Magic: 2, Attributes: attributes, LastOffsetDelta: lastDelta,
		FirstTimestamp: first, MaxTimestamp: maxTime, ProducerID: 77, ProducerEpoch: 1, FirstSequence: 5,
		NumRecords: int32(len(records)), Records: compress(t, int(attributes&attrCodec), variant, body),
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-batchLengthEnd))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// parse reads a set of batches into records, as the fetch loop does.
func parse(set []byte, limit int) (out []record, err error) {
	d := newDecompressor(limit, make(chan struct{}, 1))
	defer d.close()
	var b batch
	for len(set) > 0 {
		rest, err := nextBatch(set, &b)
		if err != nil {
			return out, err
		}
		set = rest
		if !b.checksumFits() {
			return out, errChecksum
		}
		data, err := d.decode(b.codec(), b.payload)
		if err != nil {
			return out, err
		}
		data = bytes.Clone(data)
		d.release()
		var r recordReader
		var rec record
		for r.reset(&b, data); ; {
			ok, err := r.next(&rec)
			if err != nil {
				return out, err
			}
			if !ok {
				break
			}
			out = append(out, rec)
		}
	}
	return out, nil
}

func randomRecords(rng *rand.Rand) (records []kmsg.Record, last int32) {
	delta := int32(0)
	for range rng.IntN(50) {
		delta += int32(rng.IntN(3))
		r := kmsg.Record{OffsetDelta: delta, TimestampDelta64: rng.Int64N(10_000) - 5000}
		some := func() []byte {
			switch n := rng.IntN(300); {
			case n < 20:
				return nil
			case n < 40:
				return []byte{}
			default:
				return bytes.Repeat([]byte{byte(n)}, n)
			}
		}
		r.Key, r.Value = some(), some()
		for range rng.IntN(3) {
			r.Headers = append(r.Headers, kmsg.Header{Key: "h", Value: some()})
		}
		records = append(records, r)
		delta++
	}
	return records, delta + int32(rng.IntN(3))
}

func TestBatchRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 600 {
		records, last := randomRecords(rng)
		codec, variant := rng.IntN(5), rng.IntN(2)
		attributes := int16(codec)
		logAppend := rng.IntN(4) == 0
		if logAppend {
			attributes |= attrLogAppendTime
		}
		base, first := rng.Int64N(1<<40), rng.Int64N(1<<41)
		got, err := parse(build(t, base, attributes, variant, first, first+9999, records, last), 1<<20)
		if err != nil || len(got) != len(records) {
			t.Fatalf("codec %d/%d: %d of %d records, %v", codec, variant, len(got), len(records), err)
		}
		for i, r := range records {
			millis := first + r.TimestampDelta64
			if logAppend {
				millis = first + 9999
			} else if millis < 0 {
				millis = -1
			}
			g := got[i]
			if g.offset != base+int64(r.OffsetDelta) || g.millis != millis || !bytes.Equal(g.key, r.Key) || !bytes.Equal(g.value, r.Value) ||
				(g.key == nil) != (r.Key == nil) || (g.value == nil) != (r.Value == nil) {
				t.Fatalf("record %d: got %+v, want %+v at %d", i, g, r, millis)
			}
		}
	}
}

func TestBatchRefusals(t *testing.T) {
	records := []kmsg.Record{{Key: []byte("k"), Value: []byte("v")}, {OffsetDelta: 1, Value: []byte("w")}}
	good := build(t, 10, 0, 0, 1000, 1000, records, 1)
	with := func(f func(b []byte) []byte) []byte {
		b := f(bytes.Clone(good))
		if len(b) > 21 {
			binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
		}
		return b
	}
	for name, tc := range map[string]struct {
		set  []byte
		want error
	}{
		"cut header":       {good[:40], errPartial},
		"cut body":         {good[:len(good)-1], errPartial},
		"flipped":          {append(good[:len(good)-1:len(good)-1], good[len(good)-1]^1), errChecksum},
		"too many records": {with(func(b []byte) []byte { b[60] = 3; return b }), errMalformed},
		"too few records":  {with(func(b []byte) []byte { b[60] = 1; return b }), errMalformed},
		"offset beyond":    {with(func(b []byte) []byte { b[26] = 0; return b }), errMalformed},
		"negative delta":   {with(func(b []byte) []byte { b[23] = 0x80; return b }), errMalformed},
		"short length":     {with(func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], 10); return b }), errMalformed},
		"key too long":     {with(func(b []byte) []byte { b[65] = 0x7e; return b }), errMalformed},
	} {
		if _, err := parse(tc.set, 1<<20); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
	var magic *magicError
	old := bytes.Clone(good)
	old[batchMagicAt] = 1
	if _, err := parse(old, 1<<20); !errors.As(err, &magic) || magic.magic != 1 || magic.offset != 10 {
		t.Errorf("magic 1: got %v", err)
	}
	twice := bytes.Join([][]byte{good, build(t, 12, 0, 0, 0, 0, records, 5), good[:30]}, nil)
	if next, whole, err := nextOffset(twice); next != 18 || whole != 2 || err != nil {
		t.Errorf("two and a part: next %d, whole %d, %v", next, whole, err)
	}
}

// What a batch promises costs nothing: only what it holds does.
func TestDecompressionBounds(t *testing.T) {
	zeros := make([]byte, 8<<20)
	for codec := codecGzip; codec <= codecZstd; codec++ {
		for variant := range 2 {
			d := newDecompressor(1<<20, make(chan struct{}, 1))
			if _, err := d.decode(codec, compress(t, codec, variant, zeros)); !errors.Is(err, errTooLarge) {
				t.Errorf("codec %d/%d: got %v, want %v", codec, variant, err, errTooLarge)
			}
			got, err := d.decode(codec, compress(t, codec, variant, zeros[:1<<20])) // just fits
			if err != nil || !bytes.Equal(got, zeros[:1<<20]) {
				t.Errorf("codec %d/%d: %d bytes, %v", codec, variant, len(got), err)
			}
			d.close()
		}
	}
	lies := map[string][]byte{
		"snappy": binary.AppendUvarint(nil, 60<<20),
		"zstd":   {0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x10, 1, 0, 0}, // 256 MiB in 12 bytes
	}
	for name, b := range lies {
		d := newDecompressor(64<<20, make(chan struct{}, 1))
		codec := map[string]int{"snappy": codecSnappy, "zstd": codecZstd}[name]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d.decode(codec, b)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; err == nil || grown > 4<<20 {
			t.Errorf("%s: %d bytes allocated for %d, %v", name, grown, len(b), err)
		}
		d.close()
	}
}

// FuzzBatch: no bytes crash the parser, and where it reads records franz-go reads the same ones.
func FuzzBatch(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for codec := range 5 {
		for variant := range 2 {
			records, last := randomRecords(rng)
			f.Add(build(f, 100, int16(codec), variant, 1000, 2000, records, last))
		}
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		if len(set) > 21 { // so that the fuzzer gets behind the checksum
			binary.BigEndian.PutUint32(set[17:], crc32.Checksum(set[21:min(len(set), max(21, int(binary.BigEndian.Uint32(set[8:]))%(1<<20)+12))], castagnoli))
		}
		_, _, _ = nextOffset(set)
		got, err := parse(set, 1<<20)
		if err != nil || len(set) == 0 {
			return
		}
		var b kmsg.RecordBatch
		var want []kmsg.Record
		var bases []int64
		for rest := set; len(rest) > 0; {
			n := int(binary.BigEndian.Uint32(rest[8:])) + 12
			if err := b.ReadFrom(rest[:n]); err != nil {
				t.Fatalf("franz-go refuses the batch: %v", err)
			}
			list, err := kfake.BatchRecords(b)
			if err != nil {
				t.Skip() // stricter about headers, which we step over
			}
			want = append(want, list...)
			for range list {
				bases = append(bases, b.FirstOffset)
			}
			rest = rest[n:]
		}
		if len(want) != len(got) {
			t.Fatalf("%d records, franz-go reads %d", len(got), len(want))
		}
		for i, w := range want {
			if got[i].offset != bases[i]+int64(w.OffsetDelta) || !bytes.Equal(got[i].key, w.Key) || !bytes.Equal(got[i].value, w.Value) {
				t.Fatalf("record %d: %+v, franz-go reads %+v", i, got[i], w)
			}
		}
	})
}

// FuzzDecompress: no bytes crash a codec or get beyond the limit.
func FuzzDecompress(f *testing.F) {
	for codec := codecGzip; codec <= codecZstd; codec++ {
		for variant := range 2 {
			f.Add(uint8(codec), compress(f, codec, variant, bytes.Repeat([]byte("penstock "), 100)))
		}
	}
	d := newDecompressor(1<<20, make(chan struct{}, 1))
	f.Fuzz(func(t *testing.T, codec uint8, b []byte) {
		out, err := d.decode(int(codec)%6, b)
		if err == nil && int(codec)%6 != codecNone && len(out) > d.limit {
			t.Fatalf("%d bytes", len(out))
		}
		d.release()
	})
}

// FuzzFetchAnswer: no answer crashes its reader.
func FuzzFetchAnswer(f *testing.F) {
	r := &fetchRequest{topic: "tx", partition: 1, version: 11}
	b := make([]byte, 10)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(append(b, 0, 2), "tx"...)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, 1)
	f.Add(append(b, make([]byte, 60)...))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for r.version = 4; r.version <= 11; r.version++ {
			_ = new(fetchResponse).decode(b, r)
		}
	})
}

// nowhere counts what it is handed and forgets it.
type nowhere struct{ added, dead int }

func (*nowhere) Next() (int64, bool)                    { return 0, false }
func (*nowhere) Seen() (feature.Seen, bool)             { return feature.Seen{}, false }
func (*nowhere) Arrivals() []feature.Arrival            { return nil }
func (*nowhere) StoreArrival(feature.Arrival) error     { return nil }
func (*nowhere) Meta() string                           { return "" }
func (*nowhere) SetMeta(string)                         {}
func (n *nowhere) Add(*feature.Record)                  { n.added++ }
func (n *nowhere) Dead(*feature.Record, string, string) { n.dead++ }
func (*nowhere) End(context.Context, int64, bool) error { return nil }
func (*nowhere) Leave()                                 {}
func (*nowhere) Lost(int64, int64) error                { return nil }

// ready is a partition over nowhere, and an answer of n records for it.
func ready(t testing.TB, codec, n int) (*kafkaPartition, *nowhere, *answer) {
	src := testSource(t)
	src.Kafka = &pipeline.Kafka{Topic: "tx"}
	byID, err := schemas.NewDecoders(nil, src.Schema, columnNames(src))
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	r := newRunner(Config{Plan: testPlan(src)}, rec)
	s := &kafkaSource{r: r, src: src, st: r.sources[0], dec: &decoders{byID: byID, slots: len(src.Columns)}, bytes: 1 << 20, big: make(chan struct{}, 1)}
	k := s.newPartition(0, false)
	sink := &nowhere{}
	k.h = sink
	k.lastRecord = 1
	var records []kmsg.Record
	for i := range n {
		records = append(records, kmsg.Record{
			OffsetDelta: int32(i), TimestampDelta64: int64(i), Key: fmt.Appendf(nil, "u%05d", i%997),
			Value: framed(1, datum(fmt.Sprintf("u%05d", i%997), float64(i), int64(i))),
		})
	}
	set := build(t, 0, int16(codec), 0, 1000, 1000, records, int32(n-1))
	return k, sink, &answer{res: &fetchResponse{highWater: int64(n), stable: -1, set: set}, next: int64(n), now: event.MaxTime}
}

func TestNoAllocations(t *testing.T) {
	const n = 5000
	for codec := codecNone; codec <= codecZstd; codec++ {
		k, sink, a := ready(t, codec, n)
		allocs := testing.AllocsPerRun(20, func() {
			k.next, k.ended = 0, -1
			if err := k.process(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		})
		k.dz.close()
		if sink.added != 21*n || sink.dead != 0 {
			t.Errorf("codec %d: %d added, %d dead", codec, sink.added, sink.dead)
		}
		if allocs > 20 { // per answer, not per record
			t.Errorf("codec %d: %v allocations for %d records", codec, allocs, n)
		}
		t.Logf("codec %d: %v allocations for %d records", codec, allocs, n)
	}
}

func BenchmarkProcess(b *testing.B) {
	for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		b.Run(name, func(b *testing.B) {
			const n = 20_000
			k, _, a := ready(b, codec, n)
			defer k.dz.close()
			b.ReportAllocs()
			for b.Loop() {
				k.next, k.ended = 0, -1
				if err := k.process(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}
