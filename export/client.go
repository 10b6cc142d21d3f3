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
)

// Client runs exports at a running server.
type Client struct {
	URL  string       // of the server, like http://localhost:8080
	HTTP *http.Client // nil: one without a time limit, since an export may take long
}

// Export sends the spine to the server and writes what it answers to req.Out, by the rules and with
// the errors of FromStore. req.Workers is the server's business.
func (c *Client) Export(ctx context.Context, req Request) (*Report, error) {
	if err := checkOut(req.Out, req.Out, req.Force); err != nil {
		return nil, err
	}
	spine, err := os.Open(req.Spine)
	if errors.Is(err, os.ErrNotExist) {
		return nil, mistake("malformed", "", "spine %s: there is no such file", req.Spine)
	}
	if err != nil {
		return nil, mistake("malformed", "", "open spine %s: %v", req.Spine, err)
	}
	defer func() { _ = spine.Close() }()
	res, err := c.post(ctx, req, spine)
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
	report.Out = req.Out
	err = writeFile(req.Out, req.Out, req.Force, func(w io.Writer) error {
		if _, err := io.Copy(w, body); err != nil {
			return fmt.Errorf("export from %s: %w", c.URL, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

func (c *Client) post(ctx context.Context, req Request, spine *os.File) (*http.Response, error) {
	info, err := spine.Stat()
	if err != nil {
		return nil, fmt.Errorf("read spine %s: %w", req.Spine, err)
	}
	if info.IsDir() {
		return nil, mistake("malformed", "", "spine %s is a folder", req.Spine)
	}
	q := query{req: req, spine: req.Spine, out: req.Out}
	url := strings.TrimRight(c.URL, "/") + Path + "?" + q.encode()
	hr, err := http.NewRequestWithContext(ctx, http.MethodPost, url, spine)
	if err != nil {
		return nil, fmt.Errorf("export from %s: %w", c.URL, err)
	}
	if hr.ContentLength = info.Size(); hr.ContentLength == 0 {
		hr.Body = http.NoBody
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
