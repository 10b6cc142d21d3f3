package export

import (
	"bufio"
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
	for i := range paths {
		if err := checkOut(paths[i], names[i], req.Force); err != nil {
			return nil, err
		}
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
	res, err := c.post(ctx, q, spine)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != contentType {
		return nil, c.refused(res)
	}
	body := bufio.NewReaderSize(res.Body, 256<<10)
	report, err := readReport(body)
	if err != nil {
		return nil, fmt.Errorf("export from %s: %w", c.URL, err)
	}
	if len(paths) > 1 && len(report.Parts) != len(paths) {
		return nil, fmt.Errorf("export from %s: it sends %d files for %d", c.URL, len(report.Parts), len(paths))
	}
	report.Out = req.Out
	err = writeFiles(paths, names, req.Force, func(files []io.Writer) error {
		for i, w := range files {
			from := io.Reader(body)
			if len(files) > 1 {
				from = io.LimitReader(body, report.Parts[i].Size)
			}
			if n, err := io.Copy(w, from); err != nil {
				return fmt.Errorf("export from %s: %w", c.URL, err)
			} else if len(files) > 1 && n != report.Parts[i].Size {
				return fmt.Errorf("export from %s: %w", c.URL, io.ErrUnexpectedEOF)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return report, nil
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
func (c *Client) post(ctx context.Context, q query, spine *os.File) (*http.Response, error) {
	url := strings.TrimRight(c.URL, "/") + Path + "?" + q.encode()
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("export from %s: %w", c.URL, err)
	}
	if spine != nil {
		info, err := spine.Stat()
		if err != nil {
			return nil, fmt.Errorf("read spine %s: %w", q.spine, err)
		}
		if hr.ContentLength = info.Size(); hr.ContentLength > 0 {
			hr.Body = spine
		}
	}
	hr.Header.Set("Content-Type", "application/octet-stream")
	hr.Header.Set("Expect", "100-continue") // a refusal comes before the spine is sent
	client := c.HTTP
	if client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ExpectContinueTimeout = 2 * time.Second
		defer t.CloseIdleConnections()
		client = &http.Client{Transport: t}
	}
	res, err := client.Do(hr)
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
	switch {
	case strings.HasPrefix(e.Error.Code, "unknown_"), e.Error.Code == "malformed" && e.Error.At != "":
		return &feature.SelectError{Code: e.Error.Code, Message: e.Error.Message, Hint: e.Error.Hint, At: e.Error.At}
	}
	return e.Error
}

// readReport reads the line before the file.
func readReport(r *bufio.Reader) (*Report, error) {
	const most = 16 << 20
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > most {
			return nil, fmt.Errorf("read the report: %w", err)
		}
	}
	report := &Report{}
	if err := json.Unmarshal(line, report); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	return report, nil
}
