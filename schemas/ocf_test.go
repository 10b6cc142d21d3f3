package schemas

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/linkedin/goavro/v2"

	"github.com/penstock-ml/penstock/event"
)

// container builds a file of one-block packs by hand.
func container(schema, codec string, blocks ...[]byte) []byte {
	sync := "0123456789abcdef"
	var b bytes.Buffer
	b.WriteString("Obj\x01" + num(2) + str("avro.schema") + str(schema) + str("avro.codec") + str(codec) + num(0) + sync)
	for _, block := range blocks {
		b.Write(block)
		b.WriteString(sync)
	}
	return b.Bytes()
}

func block(count int64, packed []byte) []byte {
	return append(varints(count, int64(len(packed))), packed...)
}

// rows reads all of a file's rows of one column.
func rows(file []byte, column string) (out []event.Value, err error) {
	o, err := NewOCF(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	defer o.Close()
	d, err := Compile(o.Schema(), o.Schema(), []string{column})
	if err != nil {
		return nil, err
	}
	row, scratch := make([]event.Value, 1), new(Scratch)
	for {
		switch err := o.Read(d, row, scratch); {
		case err == io.EOF:
			return out, nil
		case err != nil:
			return out, err
		}
		out = append(out, row[0].Clone())
	}
}

func TestContainerAgainstGoavro(t *testing.T) {
	for _, codec := range []string{"null", "deflate", "snappy"} {
		for seed := range uint64(30) {
			src := newSource(seed)
			rec := src.record(0)
			var file bytes.Buffer
			w, err := goavro.NewOCFWriter(goavro.OCFConfig{W: &file, Schema: printNode(rec), CompressionName: codec})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				var values []any
				for range 1 + src.IntN(20) {
					values = append(values, src.value(rec))
				}
				if err := w.Append(values); err != nil {
					t.Fatal(err)
				}
			}
			theirs, err := goavro.NewOCFReader(bytes.NewReader(file.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			o, err := NewOCF(&file)
			if err != nil {
				t.Fatal(err)
			}
			cols := paths(o.Schema())
			d, row, scratch := compile(t, o.Schema(), o.Schema(), cols...), make([]event.Value, len(cols)), new(Scratch)
			for theirs.Scan() {
				v, err := theirs.Read()
				if err != nil {
					t.Fatal(err)
				}
				v = untag(rec, v)
				if err := o.Read(d, row, scratch); err != nil {
					t.Fatalf("%s, seed %d: %v", codec, seed, err)
				}
				for i, f := range o.Schema().Fields() {
					if want := oracle(f.Type, at(v, f.Path)); !sameValue(row[i], want) {
						t.Fatalf("%s, seed %d: %s: %v, want %v", codec, seed, f.Path, row[i], want)
					}
				}
			}
			if theirs.Err() != nil {
				continue // goavro refuses blocks without bytes, which it writes itself
			}
			if err := o.Read(d, row, scratch); err != io.EOF {
				t.Errorf("%s, seed %d: at the end: %v", codec, seed, err)
			}
		}
	}
}

const oneString = `{"type":"record","name":"R","fields":[{"name":"x","type":"string"}]}`

func TestContainerCodecs(t *testing.T) {
	data := []byte(str("00") + str("01") + str("02"))
	bz, err := hex.DecodeString("425a6839314159265359ab306d5e0000004800040070002000219a68334d1c8d27177245385090ab306d5e")
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for codec, packed := range map[string][]byte{"null": data, "": data, "bzip2": bz, "zstandard": z.EncodeAll(data, nil)} {
		got, err := rows(container(oneString, codec, block(3, packed), block(3, packed)), "x")
		if err != nil || len(got) != 6 || got[4].Str != "01" {
			t.Errorf("%s: %v, %v", codec, got, err)
		}
	}
}

func TestContainerFaults(t *testing.T) {
	nothing := `{"type":"record","name":"R","fields":[{"name":"n","type":"null"}]}`
	good := container(oneString, "null", block(1, []byte(str("a"))))
	bad := bytes.Clone(good)
	bad[len(bad)-1]++
	for name, c := range map[string]struct {
		file []byte
		most uint64
	}{
		"empty":           {nil, 1 << 20},
		"magic":           {[]byte("Obj\x02abc"), 1 << 20},
		"sync":            {bad, 1 << 20},
		"huge header":     {[]byte("Obj\x01" + num(1, 1<<40)), 1 << 20},
		"many entries":    {[]byte("Obj\x01" + num(1<<40)), 1 << 20},
		"huge block":      {container(oneString, "null", varints(1, 1<<50)), 1 << 20},
		"promised block":  {container(oneString, "null", varints(1, 60<<20)), 1 << 20},
		"count":           {container(oneString, "null", block(1<<30, []byte("ab"))), 1 << 20},
		"negative count":  {container(oneString, "null", block(-1, []byte("ab"))), 1 << 20},
		"empty rows":      {container(nothing, "null", block(1<<30, nil)), 1 << 20},
		"left over":       {container(oneString, "null", block(1, []byte(str("a")+"\x00"))), 1 << 20},
		"unknown codec":   {container(oneString, "lzo"), 1 << 20},
		"snappy checksum": {container(oneString, "snappy", block(1, append(snappy.Encode(nil, []byte(str("a"))), 0, 0, 0, 0))), 1 << 20},
		"snappy promise":  {container(oneString, "snappy", block(1, append(varints(-60<<19), 1, 2, 3, 4, 5, 6))), 1 << 20},
		"schema":          {container(`{"type":`, "null"), 1 << 20},
	} {
		var err error
		if n := allocated(func() { _, err = rows(c.file, "x") }); n > c.most {
			t.Errorf("%s: allocated %d bytes", name, n)
		}
		if name == "empty rows" {
			_, err = rows(c.file, "n")
			continue
		}
		if !errors.Is(err, ErrContainer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range good {
		if got, err := rows(good[:n], "x"); err == nil && len(got) > 0 {
			t.Errorf("the first %d of %d bytes are read: %v", n, len(good), got)
		}
	}
}

// TestContainerBombs unpacks little that becomes much.
func TestContainerBombs(t *testing.T) {
	zeros := make([]byte, 6<<20)
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(zeros); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, b := range []struct {
		codec  string
		most   int64
		packed []byte
	}{
		{"deflate", 2 << 20, deflated.Bytes()},
		{"zstandard", maxBlockBytes, z.EncodeAll(zeros, nil)}, // beyond maxRatio
		{"zstandard", 2 << 20, z.EncodeAll(zeros, nil)},
		{"snappy", 2 << 20, append(snappy.Encode(nil, zeros), 0, 0, 0, 0)},
	} {
		c, err := newCodec(b.codec)
		if err != nil {
			t.Fatal(err)
		}
		c.most = b.most
		n := allocated(func() { _, err = c.unpack(b.packed) })
		if !errors.Is(err, errUnpacked) || n > 32<<20 {
			t.Errorf("%s, %d bytes: %v, allocated %d", b.codec, len(b.packed), err, n)
		}
		c.close()
	}
}

// TestContainerGoesOn reads on behind a row whose values are bad but whose bytes are whole.
func TestContainerGoesOn(t *testing.T) {
	file := container(oneString, "null", block(3, []byte(str("a")+str("\xff\xfe")+str("c"))))
	o, err := NewOCF(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	d, row, scratch := compile(t, o.Schema(), o.Schema(), "x"), make([]event.Value, 1), new(Scratch)
	var seen []string
	for {
		err := o.Read(d, row, scratch)
		if err == io.EOF {
			break
		}
		if err != nil {
			if errors.Is(err, ErrContainer) || !strings.HasPrefix(err.Error(), `decode row 1: field "x": a string that is not UTF-8`) {
				t.Fatal(err)
			}
			seen = append(seen, "bad "+hex.EncodeToString(o.Raw()))
			continue
		}
		seen = append(seen, row[0].Str)
	}
	if got := strings.Join(seen, ","); got != "a,bad 04fffe,c" {
		t.Error(got)
	}
}

func FuzzContainer(f *testing.F) {
	f.Add(container(oneString, "null", block(1, []byte(str("a")))))
	f.Add(container(oneString, "snappy", block(1, append(snappy.Encode(nil, []byte(str("a"))), 0x3f, 0x8e, 0x4b, 1))))
	f.Add(container(transactions, "deflate", block(1, []byte{1, 0, 0, 0xff, 0xff})))
	f.Fuzz(func(t *testing.T, file []byte) {
		if n := allocated(func() { _, _ = rows(file, "x") }); n > 96<<20 {
			t.Fatalf("allocated %d bytes for %d", n, len(file))
		}
	})
}
