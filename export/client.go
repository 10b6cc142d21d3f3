package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Client runs exports at a running server.
type Client struct {
	URL  string       // of the server, like http://localhost:8080
	HTTP *http.Client // nil: one without a time limit, since an export may take long
}

// Export sends the spine to the server and writes what it answers to req.Out, by the rules and with
// the errors of FromStore. req.Workers is the server's business.
func (c *Client) Export(ctx context.Context, req Request) (*Report, error) {
	if c.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ExpectContinueTimeout = 2 * time.Second
		defer t.CloseIdleConnections()
		c = &Client{URL: c.URL, HTTP: &http.Client{Transport: t}}
	}
	q := query{}
	var declared *pipeline.Export
	if req.Export != "" {
		asked, x, err := req.declare(req.Plan)
		if err != nil {
			return nil, err
		}
		req.Spine, req.Out = asked.Spine, asked.Out
		declared, q.definition = x, x.Version(req.Plan)
	}
	paths, names := (&Config{Out: req.Out, OutName: req.Out, Export: declared}).outputs()
	o, err := openOut(req.Out, req.Out, paths, names, req.Force)
	if err != nil {
		return nil, err
	}
	var spine *os.File
	if declared == nil || declared.Spine.File != "" {
		var err error
		if spine, err = openFile(req.Spine); err != nil {
			return nil, err
		}
		defer func() { _ = spine.Close() }()
	}
	q.req, q.spine, q.out = req, req.Spine, req.Out
	done, err := c.run(ctx, q, spine, req.Show)
	if err != nil {
		return nil, err
	}
	defer c.drop(ctx, done.ID)
	if done.Report == nil || len(done.Files) != len(paths) {
		return nil, fmt.Errorf("export from %s: it sends %d files for %d", c.URL, len(done.Files), len(paths))
	}
	err = o.write(func(files []io.Writer) ([]FileReport, *Manifest, error) {
		files, sumsOf := sumFiles(files)
		for i, w := range files {
			if err := c.take(ctx, done.Files[i], w); err != nil {
				return nil, nil, fmt.Errorf("export from %s: %w", c.URL, err)
			}
		}
		sums := sumsOf(names)
		if req.At == nil || done.Manifest == nil {
			return sums, done.Manifest, nil
		}
		done.Report.OtherFiles = req.At.Cut.otherFiles(done.Manifest.Cut.Files)
		return sums, done.Manifest, req.At.sameBytes(sums, done.Manifest.Penstock, done.Report)
	})
	if err != nil {
		return nil, err
	}
	done.Report.Out, done.Report.Manifest = req.Out, done.Manifest
	return done.Report, nil
}

// run asks for an export and waits until it is done. If ctx ends before, the server is told.
func (c *Client) run(ctx context.Context, q query, spine *os.File, show func(Progress)) (*Job, error) {
	var x Job
	if err := c.post(ctx, q, spine, &x); err != nil {
		return nil, err
	}
	began := time.Now()
	for x.State == Running {
		if show != nil {
			show(Progress{Rows: x.Rows, Total: x.RowsTotal, Elapsed: time.Since(began)})
		}
		if err := c.ask(ctx, http.MethodGet, Path+"/"+x.ID+"?wait=1s", &x); err != nil {
			c.drop(ctx, x.ID)
			return nil, err
		}
	}
	if x.State != Done {
		c.drop(ctx, x.ID)
		if x.Error == nil {
			return nil, fmt.Errorf("export from %s: it is %s", c.URL, x.State)
		}
		return nil, asError(x.Error)
	}
	return &x, nil
}

// drop tells the server that an export is no longer wanted, best as it can.
func (c *Client) drop(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = c.ask(ctx, http.MethodDelete, Path+"/"+id, nil)
}

// take copies a file of a table to w.
func (c *Client) take(ctx context.Context, f File, w io.Writer) error {
	res, err := c.send(ctx, http.MethodGet, f.URL, nil, 0)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return c.refused(res)
	}
	n, err := io.Copy(w, res.Body)
	if err == nil && n != f.Bytes {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// openFile opens a spine to be sent.
func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, mistake("malformed", "", "spine %s: there is no such file", path)
	}
	if err != nil {
		return nil, mistake("malformed", "", "open spine %s: %v", path, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = mistake("malformed", "", "spine %s is a folder", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// post asks for an export; spine is nil if no file has its rows.
func (c *Client) post(ctx context.Context, q query, spine *os.File, x *Job) error {
	var body io.Reader
	size := int64(0)
	if spine != nil {
		info, err := spine.Stat()
		if err != nil {
			return fmt.Errorf("read spine %s: %w", q.spine, err)
		}
		if size = info.Size(); size > 0 {
			body = spine
		}
	}
	res, err := c.send(ctx, http.MethodPost, Path+"?"+q.encode(), body, size)
	if err != nil {
		return err
	}
	return c.read(res, http.StatusAccepted, x)
}

// ask sends a request without a body and reads its answer into v; nil: there is none.
func (c *Client) ask(ctx context.Context, method, path string, v any) error {
	res, err := c.send(ctx, method, path, nil, 0)
	if err != nil {
		return err
	}
	want := http.StatusOK
	if v == nil {
		want = http.StatusNoContent
	}
	return c.read(res, want, v)
}

func (c *Client) read(res *http.Response, code int, v any) error {
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != code {
		return c.refused(res)
	}
	if v == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("export from %s: read its answer: %w", c.URL, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader, size int64) (*http.Response, error) {
	if body == nil {
		body = http.NoBody
	}
	hr, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.URL, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("export from %s: %w", c.URL, err)
	}
	if method == http.MethodPost {
		hr.ContentLength = size
		hr.Header.Set("Content-Type", "application/octet-stream")
		hr.Header.Set("Expect", "100-continue") // a refusal comes before the spine is sent
	}
	res, err := c.HTTP.Do(hr)
	if err != nil {
		return nil, fmt.Errorf("export from %s: %w", c.URL, err)
	}
	return res, nil
}

// refused reads an answer that is not an export.
func (c *Client) refused(res *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var e struct{ Error *Error }
	if err != nil || json.Unmarshal(b, &e) != nil || e.Error == nil || e.Error.Message == "" {
		return fmt.Errorf("export from %s: the answer is %s, and not from a Penstock server of this version", c.URL, res.Status)
	}
	return asError(e.Error)
}

// asError is what FromStore would have said.
func asError(e *Error) error {
	switch {
	case strings.HasPrefix(e.Code, "unknown_"), e.Code == "malformed" && e.At != "":
		return &feature.SelectError{Code: e.Code, Message: e.Message, Hint: e.Hint, At: e.At}
	}
	return e
}
