package serve

import (
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event/spelling"
)

// apiError is an answer other than 200: `{"error": {"code", "message", "hint", "at"}}`.
type apiError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	At      string `json:"at,omitempty"`
}

func (e *apiError) Error() string { return e.Message }

func malformed(at, message, hint string) *apiError {
	return &apiError{status: http.StatusBadRequest, Code: "malformed", Message: message, Hint: hint, At: at}
}

func notReady(message string) *apiError {
	return &apiError{status: http.StatusServiceUnavailable, Code: "not_ready", Message: message}
}

func internalError() *apiError {
	return &apiError{
		status: http.StatusInternalServerError, Code: "internal",
		Message: "the request could not be answered", Hint: "the server's log says why",
	}
}

func tooLarge(at, message, hint string) *apiError {
	return &apiError{status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: message, Hint: hint, At: at}
}

func writeError(w http.ResponseWriter, e *apiError) {
	b, err := json.Marshal(struct {
		Error *apiError `json:"error"`
	}{e})
	if err != nil { // four strings: cannot happen
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	h.Set("X-Content-Type-Options", "nosniff")
	if e.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(append(b, '\n'))
}

// clip bounds what is repeated of a request in an answer.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	i := most
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return s[:i] + "…"
}

// didYouMean is a hint with the nearest of names, else a list of them.
func didYouMean(s string, names []string) string {
	if n, ok := spelling.Nearest(s, names); ok {
		return "did you mean " + n + "?"
	}
	if len(names) == 0 || len(names) > 12 {
		return ""
	}
	h := "there is " + names[0]
	for i, n := range names[1:] {
		if i == len(names)-2 {
			h += " and " + n
		} else {
			h += ", " + n
		}
	}
	return h
}
