package export

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/penstock-ml/penstock/feature"
)

func TestMistakes(t *testing.T) {
	f := newFixture(t)
	f.some()
	type naive struct {
		User string `parquet:"user_id"`
		When int64  `parquet:"event_time,timestamp(microsecond:local)"`
	}
	writeParquet(t, f.out("naive.parquet"), []naive{{"u", 0}})
	type twice struct {
		User string `parquet:"user_id"`
		A    int64  `parquet:"a,timestamp(microsecond)"`
		B    int64  `parquet:"b,timestamp(millisecond)"`
	}
	writeParquet(t, f.out("twice.parquet"), []twice{{"u", 0, 0}})
	type wrong struct {
		User int64 `parquet:"user_id"`
		When int64 `parquet:"event_time,timestamp(microsecond)"`
	}
	writeParquet(t, f.out("wrong.parquet"), []wrong{{1, 0}})
	type null struct {
		User *string `parquet:"user_id,optional"`
		When *int64  `parquet:"event_time,optional,timestamp(microsecond)"`
	}
	writeParquet(t, f.out("null.parquet"), []null{{ptr("u"), ptr(int64(0))}, {ptr("u"), nil}})
	writeParquet(t, f.out("nested.parquet"), parquetRows(3))
	spend := feature.Selection{View: "spend"}
	both := exporters(f)
	for _, c := range []struct {
		name, file, text string
		sel              feature.Selection
		time, out        string
		want             string
	}{
		{"no file", "none.csv", "", spend, "", "o.csv", "there is no such file"},
		{"extension", "s.txt", "a,b\n", spend, "", "o.csv", "the extension tells no format"},
		{"out extension", "s.csv", "user_id,event_time\n", spend, "", "o.xlsx", "o.xlsx: the extension tells no format to write"},
		{"out folder", "s.csv", "user_id,event_time\n", spend, "", "nowhere/o.csv", "there is no folder"},
		{"empty", "s.csv", "", spend, "", "o.csv", "is empty"},
		{"no time", "s.csv", "user_id,x\nu,1\n", spend, "", "o.csv", "no column event_time, and no timestamp column"},
		{"two times", "s.csv", "user_id,x,y\nu,2013-01-05T10:00:00Z,2013-01-05T10:00:00Z\n", spend, "", "o.csv", `both "x" and "y" are timestamps`},
		{"two times, parquet", "twice.parquet", "", spend, "", "o.csv", `both "a" and "b" are timestamps`},
		{"unknown time", "s.csv", "user_id,event_time\n", spend, "when", "o.csv", `there is no column "when"`},
		{"no zone", "s.csv", "user_id,event_time\nu,2013-01-05T10:00:00\n", spend, "", "o.csv", `row 1: column "event_time": "2013-01-05T10:00:00" is not an RFC 3339 instant with a zone`},
		{"no zone, parquet", "naive.parquet", "", spend, "", "o.csv", `the time column "event_time" has no zone`},
		{"null time", "s.csv", "user_id,event_time\nu,2013-01-05T10:00:00Z\nu,\n", spend, "", "o.csv", `row 2: column "event_time": it is null`},
		{"null time, parquet", "null.parquet", "", spend, "", "o.csv", `row 2: column "event_time": it is null`},
		{"null keys", "s.csv", "user_id,event_time\nu,2013-01-05T10:00:00Z\n,2013-01-05T10:00:00Z\nu,\n,\nu,2013-01-05T10:00:00Z\n", spend, "", "o.csv", `row 2: column "user_id": it is null; 3 rows lack a key or the instant`},
		{"null key", "s.csv", "user_id,event_time\n,2013-01-05T10:00:00Z\n", spend, "", "o.csv", `row 1: column "user_id": it is null`},
		{"no key", "s.csv", "user,event_time\nu,2013-01-05T10:00:00Z\n", spend, "", "o.csv", `lacks the key column "user_id"`},
		{"wrong key", "wrong.parquet", "", spend, "", "o.csv", `the key column "user_id" is a long, but must be a string`},
		{"key that does not parse", "s.csv", "user_id,shop,event_time\nu,7.5,2013-01-05T10:00:00Z\n", feature.Selection{View: "by_shop"}, "", "o.csv", `row 1: column "shop": "7.5" is not a long`},
		{"no request", "s.csv", "user_id,event_time\nu,2013-01-05T10:00:00Z\n", feature.Selection{Set: "fraud"}, "", "o.csv", `lacks the request column "amount"`},
		{"request that does not parse", "s.csv", "user_id,event_time,amount\nu,2013-01-05T10:00:00Z,0x10\n", feature.Selection{Set: "fraud"}, "", "o.csv", `row 1: column "amount": "0x10" is not a double`},
		{"clash", "s.csv", "user_id,event_time,n_1h\n", spend, "", "o.csv", `two columns would be called "n_1h": a column of the spine and the feature n_1h`},
		{"clash with a status", "s.csv", "user_id,event_time,n_1h__status\n", spend, "", "o.csv", `two columns would be called "n_1h__status"`},
		{"clash in the spine", "s.csv", "user_id,event_time,x,x\n", spend, "", "o.csv", `two columns would be called "x"`},
		{"ragged", "s.csv", "user_id,event_time\nu,2013-01-05T10:00:00Z\nu\n", spend, "", "o.csv", "row 2: record on line 3: wrong number of fields"},
		{"quotes", "s.csv", "user_id,event_time\nu,2013-01-05T10:00:00Z\n\"u,2013\n", spend, "", "o.csv", "row 2: "},
		{"not parquet", "s.parquet", "hello, world, this is not a file", spend, "", "o.csv", "is not Parquet"},
		{"not avro", "s.avro", "hello, world, this is not a file", spend, "", "o.csv", "is not an Avro container file"},
		{"nested to csv", "nested.parquet", "", spend, "", "o.csv", `column "vec" is nested, and CSV cannot carry it`},
		{"unknown view", "s.csv", "user_id,event_time\n", feature.Selection{View: "spent"}, "", "o.csv", `view "spent" does not exist`},
		{"nothing", "s.csv", "user_id,event_time\n", feature.Selection{}, "", "o.csv", "exactly one of set, view"},
	} {
		for name, export := range both {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				spine := f.out(c.file)
				if c.file == "s.csv" || c.text != "" {
					spine = f.write(c.file, c.text)
				}
				report, err := export(t.Context(), Request{Selection: c.sel, Spine: spine, SpineTime: c.time, Out: f.out(c.out), WithStatus: true})
				var own *Error
				var sel *feature.SelectError
				if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &own) && !errors.As(err, &sel) {
					t.Errorf("report %v, error %T %v, want %q", report, err, err, c.want)
				}
				if _, err := os.Stat(f.out(c.out)); !os.IsNotExist(err) {
					t.Errorf("OUT is there: %v", err)
				}
				if left := f.leftovers(); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

func TestForce(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", "user_id,event_time\nu2,2013-01-05T10:00:00Z\n")
	for name, export := range exporters(f) {
		out := f.write(name+".csv", "precious")
		req := Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out}
		var own *Error
		if _, err := export(t.Context(), req); !errors.As(err, &own) || own.Code != "exists" || f.read(out) != "precious" {
			t.Errorf("%s: %v, %q", name, err, f.read(out))
		}
		req.Force = true
		if _, err := export(t.Context(), req); err != nil || !strings.HasPrefix(f.read(out), "user_id,") {
			t.Errorf("%s: %v, %q", name, err, f.read(out))
		}
	}
}

// TestNotPenstock: an answer of something else is told as that.
func TestNotPenstock(t *testing.T) {
	f := newFixture(t)
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	spine := f.write("spine.csv", "user_id,event_time\n")
	_, err := (&Client{URL: srv.URL}).Export(t.Context(), Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: f.out("o.csv")})
	if err == nil || !strings.Contains(err.Error(), "404 Not Found, and not from a Penstock server") {
		t.Error(err)
	}
}

// TestCutShort: an answer that ends early leaves no file.
func TestCutShort(t *testing.T) {
	f := newFixture(t)
	dropped := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(`{"id": "x", "state": "done", "report": {}, "files": [{"name": "o.csv", "bytes": 1000, "url": "/f"}]}`))
		case r.Method == http.MethodDelete:
			dropped <- r.URL.Path
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("user_id,"))
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	spine := f.write("spine.csv", "user_id,event_time\n")
	out := f.out("o.csv")
	_, err := (&Client{URL: srv.URL}).Export(t.Context(), Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: out})
	if _, stat := os.Stat(out); err == nil || !os.IsNotExist(stat) || len(f.leftovers()) > 0 {
		t.Errorf("%v, %v, %v", err, stat, f.leftovers())
	}
	if path := <-dropped; path != Path+"/x" {
		t.Errorf("the server was told to drop %s", path)
	}
}

func TestCancelled(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", "user_id,event_time\n"+strings.Repeat("u2,2013-01-05T10:00:00Z\n", 200_000))
	ctx, cancel := context.WithCancel(t.Context())
	cut, err := f.store.Cut(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	sel, err := f.store.Select(feature.Selection{View: "spend"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	out := f.out("o.csv")
	_, err = Run(ctx, Config{Cut: cut, Selector: sel, Spine: spine, Out: out})
	if _, stat := os.Stat(out); !errors.Is(err, context.Canceled) || !os.IsNotExist(stat) || len(f.leftovers()) > 0 {
		t.Errorf("%v, %v, %v", err, stat, f.leftovers())
	}
}
