package serve

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// pageHTML is the page at /: one file without anything from elsewhere.
//
//go:embed page.html
var pageHTML []byte

// pagePolicy lets the page run its own script and style and talk to its own server, and nothing else.
var pagePolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'; img-src data:; " +
	"script-src " + inlineHash("script") + "; style-src " + inlineHash("style")

// inlineHash is the policy's name for the one element of the page with this tag.
func inlineHash(tag string) string {
	_, rest, _ := strings.Cut(string(pageHTML), "<"+tag+">")
	text, _, ok := strings.Cut(rest, "</"+tag+">")
	if !ok {
		panic("serve: the page has no <" + tag + ">")
	}
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page answers GET /.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(pageHTML)))
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(pageHTML)
}
