package state_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/state"
)

func openBench(b *testing.B) *state.Badger {
	b.Helper()
	s, err := state.OpenBadger(b.TempDir(), state.BadgerOptions{Ballast: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// fill puts n values of 150 bytes under sorted keys spread over 1 M.
func fill(b *state.Batch, r *rand.Rand, n int) {
	b.Reset()
	value := make([]byte, 150)
	at := uint64(0)
	for range n {
		at += 1 + r.Uint64N(uint64(2_000_000/n))
		for i := 0; i+8 <= len(value); i += 8 { // half of the bytes random, as packed numbers are
			binary.LittleEndian.PutUint64(value[i:], r.Uint64()>>32)
		}
		b.Put(binary.BigEndian.AppendUint64(nil, at), value)
	}
}

// BenchmarkCommit: durable commits of sorted values of 150 bytes; ns/op is one value.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1000, 7000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openBench(b)
			r := rand.New(rand.NewPCG(1, 2))
			var batch state.Batch
			for done := 0; done < b.N; done += n {
				b.StopTimer()
				fill(&batch, r, n)
				b.StartTimer()
				if err := s.Commit(&batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGet: point reads among 200,000 values of 150 bytes, and a scan of 60 of them.
func BenchmarkGet(b *testing.B) {
	s := openBench(b)
	var batch state.Batch
	const keys = 200_000
	value := make([]byte, 150)
	for i := range uint64(keys) {
		batch.Put(binary.BigEndian.AppendUint64(nil, i*7), value)
		if batch.Len() == 5000 || i == keys-1 {
			if err := s.Commit(&batch); err != nil {
				b.Fatal(err)
			}
			batch.Reset()
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.Run("point", func(b *testing.B) {
		b.ReportAllocs()
		var key [8]byte
		var dst []byte
		for b.Loop() {
			snap := s.Snapshot()
			binary.BigEndian.PutUint64(key[:], r.Uint64N(keys)*7)
			var err error
			if dst, err = snap.Get(key[:], dst); err != nil {
				b.Fatal(err)
			}
			snap.Close()
		}
	})
	b.Run("scan60", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			snap := s.Snapshot()
			from := r.Uint64N(keys-100) * 7
			n := 0
			for _, err := range snap.Scan(binary.BigEndian.AppendUint64(nil, from), binary.BigEndian.AppendUint64(nil, from+60*7)) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			if n != 60 {
				b.Fatal(n)
			}
			snap.Close()
		}
	})
}
