package export

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/penstock-ml/penstock/feature"
)

// call sends a request and reads what is answered.
func call(t *testing.T, method, url, body string) (int, Job, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var x Job
	_ = json.Unmarshal(b, &x)
	return res.StatusCode, x, string(b)
}

// TestJob: what a client without this package does: ask, wait, take, forget.
func TestJob(t *testing.T) {
	f := newFixture(t)
	f.some()
	srv := f.server(JobOptions{})
	at := srv.URL + Path
	code, x, text := call(t, "POST", at+"?view=spend&spine=a.csv&out=b.csv", spineCSV)
	if code != http.StatusAccepted || x.ID == "" {
		t.Fatal(code, text)
	}
	code, x, text = call(t, "GET", at+"/"+x.ID+"?wait=1m", "")
	if code != http.StatusOK || x.State != Done || x.Rows != 5 || x.RowsTotal != 5 || x.Report.Rows != 5 || len(x.Files) != 1 || x.Files[0].Name != "b.csv" {
		t.Fatal(code, text)
	}
	want := f.out("want.csv")
	if _, err := FromStore(t.Context(), f.store, Request{Selection: feature.Selection{View: "spend"}, Spine: f.write("a.csv", spineCSV), Out: want}); err != nil {
		t.Fatal(err)
	}
	if code, _, table := call(t, "GET", srv.URL+x.Files[0].URL, ""); code != http.StatusOK || table != f.read(want) || int64(len(table)) != x.Files[0].Bytes {
		t.Errorf("%d %s", code, table)
	}
	if code, _, list := call(t, "GET", at, ""); code != http.StatusOK || !strings.Contains(list, `{"exports":[{"id":"`+x.ID) {
		t.Errorf("%d %s", code, list)
	}
	if code, _, text := call(t, "DELETE", at+"/"+x.ID, ""); code != http.StatusNoContent {
		t.Errorf("%d %s", code, text)
	}
	if code, _, text := call(t, "GET", at+"/"+x.ID, ""); code != http.StatusNotFound {
		t.Errorf("%d %s", code, text)
	}
	if _, list := f.folders(); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// folders lists those of exports.
func (f *fixture) folders() (string, []string) {
	dirs, _ := filepath.Glob(filepath.Join(f.dir, "penstock-export-*"))
	return f.dir, dirs
}

// TestJobFails: a mistake in a row is told by the job, and leaves nothing.
func TestJobFails(t *testing.T) {
	f := newFixture(t)
	f.some()
	srv := f.server(JobOptions{})
	_, x, _ := call(t, "POST", srv.URL+Path+"?view=spend&spine=a.csv&out=b.csv", "user_id,event_time\nu1,yesterday\n")
	code, x, text := call(t, "GET", srv.URL+Path+"/"+x.ID+"?wait=1m", "")
	if code != http.StatusOK || x.State != Failed || x.Error == nil || x.Error.Code != "row" || !strings.Contains(x.Error.Message, "spine a.csv: row 1") {
		t.Error(code, text)
	}
	if code, _, text := call(t, "GET", srv.URL+Path+"/"+x.ID+"/files/0", ""); code != http.StatusConflict || !strings.Contains(text, "row 1") {
		t.Error(code, text)
	}
	if _, list := f.folders(); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// TestJobCancelled: DELETE stops an export that runs, and makes room for another.
func TestJobCancelled(t *testing.T) {
	f := newFixture(t)
	f.some()
	srv := f.server(JobOptions{Running: 1})
	long := "user_id,event_time\n" + strings.Repeat("u2,2013-01-05T10:00:00Z\n", 300_000)
	at := srv.URL + Path
	_, x, _ := call(t, "POST", at+"?view=spend&spine=a.csv&out=b.csv", long)
	if code, _, text := call(t, "GET", at+"/"+x.ID+"/files/0", ""); code != http.StatusConflict && code != http.StatusOK {
		t.Error(code, text)
	}
	if code, _, text := call(t, "DELETE", at+"/"+x.ID, ""); code != http.StatusNoContent {
		t.Error(code, text)
	}
	if _, list := f.folders(); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
	_, x, _ = call(t, "POST", at+"?view=spend&spine=a.csv&out=b.csv", spineCSV)
	if _, x, text := call(t, "GET", at+"/"+x.ID+"?wait=1m", ""); x.State != Done {
		t.Error(text)
	}
}

// TestClientCancelled: a client that gives up tells the server.
func TestClientCancelled(t *testing.T) {
	f := newFixture(t)
	f.some()
	jobs := NewJobs(f.store, JobOptions{TempDir: f.dir})
	defer jobs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	deleted := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			cancel()
			<-r.Context().Done()
			return
		}
		jobs.ServeHTTP(w, r)
		if r.Method == http.MethodDelete {
			close(deleted)
		}
	}))
	defer srv.Close()
	spine := f.write("spine.csv", "user_id,event_time\n"+strings.Repeat("u2,2013-01-05T10:00:00Z\n", 300_000))
	_, err := (&Client{URL: srv.URL}).Export(ctx, Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: f.out("o.csv")})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-deleted
	if _, list := f.folders(); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// TestJobsBounds: what is refused before anything runs.
func TestJobsBounds(t *testing.T) {
	f := newFixture(t)
	f.some()
	spine := f.write("spine.csv", "user_id,event_time\n"+strings.Repeat("u2,2013-01-05T10:00:00Z\n", 10_000))
	small := f.server(JobOptions{MaxSpine: 1000})
	req := Request{Selection: feature.Selection{View: "spend"}, Spine: spine, Out: f.out("o.csv")}
	var own *Error
	if _, err := (&Client{URL: small.URL}).Export(t.Context(), req); !errors.As(err, &own) || own.Code != "too_large" {
		t.Errorf("%v", err)
	}
	jobs := NewJobs(f.store, JobOptions{TempDir: f.dir, Running: 1})
	defer jobs.Close()
	busy := httptest.NewServer(jobs)
	defer busy.Close()
	if err := jobs.slot(); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Client{URL: busy.URL}).Export(t.Context(), req); !errors.As(err, &own) || own.Code != "busy" {
		t.Errorf("%v", err)
	}
	jobs.free()
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"PUT", "", http.StatusMethodNotAllowed},
		{"POST", "/abc", http.StatusMethodNotAllowed},
		{"DELETE", "", http.StatusMethodNotAllowed},
		{"GET", "/abc", http.StatusNotFound},
		{"GET", "/abc/files/0", http.StatusNotFound},
		{"GET", "/abc/other", http.StatusNotFound},
		{"POST", "?view=spend&spine=a.csv&out=b.csv&force=true", http.StatusBadRequest},
		{"POST", "?view=spend&spine=a.csv&out=b.csv&as_served=1", http.StatusBadRequest},
		{"POST", "?view=spend&spine=../../a.sh&out=b.csv", http.StatusBadRequest},
		{"POST", "?view=none&spine=a.csv&out=b.csv", http.StatusNotFound},
		{"POST", "?export=none", http.StatusNotFound},
	} {
		if code, _, text := call(t, c.method, busy.URL+Path+c.path, ""); code != c.code || !strings.Contains(text, `"message"`) {
			t.Errorf("%s %s: %d %s", c.method, c.path, code, text)
		}
	}
	if _, list := f.folders(); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

// TestJobsKept: tables that nobody takes go after some time, and so do the oldest of too many.
func TestJobsKept(t *testing.T) {
	f := newFixture(t)
	f.some()
	var hours atomic.Int64
	now := func() time.Time { return time.Date(2013, 1, 6, int(hours.Load()), 0, 0, 0, time.UTC) }
	jobs := NewJobs(f.store, JobOptions{TempDir: f.dir, Kept: 2, Keep: time.Hour, Now: now})
	defer jobs.Close()
	srv := httptest.NewServer(jobs)
	defer srv.Close()
	var ids []string
	for range 3 {
		_, x, _ := call(t, "POST", srv.URL+Path+"?view=spend&spine=a.csv&out=b.csv", spineCSV)
		if _, y, text := call(t, "GET", srv.URL+Path+"/"+x.ID+"?wait=1m", ""); y.State != Done {
			t.Fatal(text)
		}
		ids = append(ids, x.ID)
	}
	there := func() (n int) {
		for _, id := range ids {
			if code, _, _ := call(t, "GET", srv.URL+Path+"/"+id, ""); code == http.StatusOK {
				n++
			}
		}
		return n
	}
	if n := there(); n != 2 {
		t.Errorf("%d are kept", n)
	}
	hours.Add(1)
	if n := there(); n != 0 {
		t.Errorf("%d are kept after an hour", n)
	}
	// The last job, which tidies up too when it is over, may be at it still.
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, list := f.folders(); len(list) == 0 {
			break
		} else if time.Since(begin) > 10*time.Second {
			t.Fatalf("left behind: %v", list)
		}
	}
}

// TestJobsClosed: what runs is stopped, and nothing is left; further ones are refused.
func TestJobsClosed(t *testing.T) {
	f := newFixture(t)
	f.some()
	jobs := NewJobs(f.store, JobOptions{TempDir: f.dir})
	srv := httptest.NewServer(jobs)
	defer srv.Close()
	long := "user_id,event_time\n" + strings.Repeat("u2,2013-01-05T10:00:00Z\n", 300_000)
	if code, _, text := call(t, "POST", srv.URL+Path+"?view=spend&spine=a.csv&out=b.csv", long); code != http.StatusAccepted {
		t.Fatal(text)
	}
	jobs.Close()
	if _, list := f.folders(); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
	if code, _, text := call(t, "POST", srv.URL+Path+"?view=spend&spine=a.csv&out=b.csv", spineCSV); code != http.StatusServiceUnavailable {
		t.Error(code, text)
	}
}

// TestProgress: an export that runs shows how far it is, never more than all.
func TestProgress(t *testing.T) {
	f := newFixture(t)
	f.some()
	var m Meter
	text := "user_id,event_time\n" + strings.Repeat("u2,2013-01-05T10:00:00Z\n", 50_000)
	cut, err := f.store.Cut(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer cut.Close()
	sel, err := f.store.Select(feature.Selection{View: "spend"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), Config{Cut: cut, Selector: sel, Spine: f.write("s.csv", text), Out: f.out("o.csv"), Meter: &m}); err != nil {
		t.Fatal(err)
	}
	if p := m.Progress(); p.Rows != 50_000 || p.Total != 50_000 || p.Rate() <= 0 {
		t.Errorf("%+v", p)
	}
	p := Progress{Rows: 250, Total: 1000, Elapsed: 10 * time.Second}
	if left, ok := p.Left(); !ok || left != 30*time.Second || p.Rate() != 25 {
		t.Errorf("%v %v", left, ok)
	}
	file, err := os.Open(f.write("half.csv", strings.Repeat("x", 100)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := io.CopyN(io.Discard, file, 50); err != nil || partOf(file) != 0.5 {
		t.Errorf("%v %v", partOf(file), err)
	}
}
