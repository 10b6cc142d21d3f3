package engine

import (
	"testing"

	"github.com/penstock-ml/penstock/bench/workload"
)

// TestRun counts few events and lets the job compare what it reads with what it fed.
func TestRun(t *testing.T) {
	for _, keys := range []workload.Keys{workload.Uniform, workload.Zipf} {
		r, err := Run(t.Context(), Job{
			Pipeline: "../pipeline.yaml", Keys: keys, Users: 3001, Fill: true, Events: 9000, Reads: 500, Count: "transactions", Dir: t.TempDir(),
			Env: map[string]string{"KAFKA_BROKERS": "b:9092", "BENCH_TOPIC": "t", "BENCH_MEMORY": "64MiB"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Applied != 3001+9000 || r.CountedInRead != r.Expected || r.Expected < sampledUsers || r.Memory != 64<<20 {
			t.Errorf("%s keys: %+v", keys, r)
		}
		if r.Seconds <= 0 || r.FillSeconds <= 0 || r.CPU <= 0 || r.Read <= 0 || r.Peak == 0 || r.Anonymous == 0 || r.Anonymous > r.Peak || r.Values == 0 {
			t.Errorf("%s keys: not measured: %+v", keys, r)
		}
	}
}
