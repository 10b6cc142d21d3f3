package script

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// Summary counts results.
type Summary struct {
	Files, Cases, Failed int
}

// Summarise counts results.
func Summarise(results []Result) Summary {
	s := Summary{Cases: len(results)}
	for i := range results {
		if i == 0 || results[i].File != results[i-1].File {
			s.Files++
		}
		if !results[i].Passed() {
			s.Failed++
		}
	}
	return s
}

// WriteText prints the cases that failed, all that is wrong with each; with verbose those that passed too.
func WriteText(w io.Writer, results []Result, verbose bool) error {
	var b strings.Builder
	for i := range results {
		r := &results[i]
		if r.Passed() {
			if verbose {
				fmt.Fprintf(&b, "ok    %s (%s)\n", r.Title(), millis(r.Took))
			}
			continue
		}
		fmt.Fprintf(&b, "FAIL  %s (%s)\n", r.Title(), millis(r.Took))
		for j := range r.Failures {
			b.WriteString(r.Failures[j].String())
			b.WriteString("\n\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// jsonCase is a case in the report for programs.
type jsonCase struct {
	File     string    `json:"file"`
	Line     int       `json:"line"`
	Name     string    `json:"name"`
	Passed   bool      `json:"passed"`
	TookMS   float64   `json:"took_ms"`
	Failures []Failure `json:"failures"`
}

// WriteJSON prints all results.
func WriteJSON(w io.Writer, results []Result, took time.Duration) error {
	s := Summarise(results)
	out := struct {
		Files  int        `json:"files"`
		Cases  int        `json:"cases"`
		Failed int        `json:"failed"`
		TookMS float64    `json:"took_ms"`
		List   []jsonCase `json:"results"`
	}{s.Files, s.Cases, s.Failed, float64(took.Microseconds()) / 1000, []jsonCase{}}
	for i := range results {
		r := &results[i]
		c := jsonCase{r.File, r.Line, r.Name, r.Passed(), float64(r.Took.Microseconds()) / 1000, r.Failures}
		if c.Failures == nil {
			c.Failures = []Failure{}
		}
		out.List = append(out.List, c)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// JUnit's XML, as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the results as JUnit's XML: a suite for each file.
func WriteJUnit(w io.Writer, results []Result, took time.Duration) error {
	s := Summarise(results)
	out := junitSuites{Tests: s.Cases, Failures: s.Failed, Time: seconds(took)}
	var spent time.Duration
	for i := range results {
		r := &results[i]
		if i == 0 || r.File != results[i-1].File {
			out.Suites = append(out.Suites, junitSuite{Name: r.File})
			spent = 0
		}
		suite := &out.Suites[len(out.Suites)-1]
		c := junitCase{Name: r.Name, Class: r.File, File: r.File, Line: r.Line, Time: seconds(r.Took)}
		spent += r.Took
		suite.Tests++
		suite.Time = seconds(spent)
		if !r.Passed() {
			suite.Failures++
			var texts []string
			for j := range r.Failures {
				texts = append(texts, r.Failures[j].String())
			}
			c.Failure = &junitFailure{Message: r.Failures[0].Message, Text: strings.Join(texts, "\n\n")}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }
