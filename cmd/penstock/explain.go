package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/serve"
)

type explainCmd struct {
	File     string   `arg:"" help:"Pipeline file."`
	Keys     []string `arg:"" name:"key=value" help:"The entity: each key column with its value."`
	State    string   `placeholder:"DIR" xor:"where" required:"" help:"State directory; a server that has it open is asked instead."`
	Server   string   `placeholder:"URL" xor:"where" required:"" help:"A running server."`
	Set      string   `help:"Feature set."`
	View     string   `help:"View."`
	Feature  string   `required:"" placeholder:"NAME" help:"The feature: of the set or view, or dotted."`
	Request  []string `placeholder:"NAME=VALUE" help:"Request columns of the set."`
	AsOf     string   `default:"latest" help:"An RFC 3339 instant, now, or latest."`
	AsServed bool     `help:"Explain the answer by the events that had arrived by the instant."`
	Limit    int      `default:"100" placeholder:"N" help:"List at most so many rows and summaries."`
	Below    bool     `help:"List the rows below summaries too."`
	JSON     bool     `name:"json" help:"Print the server's JSON."`
}

// Help shows an example.
func (explainCmd) Help() string {
	return "Tells what one value rests on: its window, the rows and summaries that were read with their positions, the\n" +
		"rows that came late, and versions.\n\n" +
		"Example:\n  penstock explain pipeline.yaml --state data --view user_spend --feature spend_1h user_id=u1"
}

// Run asks /v1/explain, of the server or of one made for this question over the directory.
func (c explainCmd) Run(e *env) error {
	answer, err := ask(e, c.File, c.State, c.Server, "/v1/explain", c.body)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := e.out.Write(append(bytes.TrimSpace(answer), '\n'))
		return err
	}
	var x serve.Explanation
	if err := json.Unmarshal(answer, &x); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return printExplanation(e.out, &x)
}

func (c explainCmd) body(plan *pipeline.Plan) ([]byte, error) {
	types := columnKinds(plan)
	entity, err := pairs(c.Keys, types)
	if err != nil {
		return nil, err
	}
	if c.Limit < 1 {
		return nil, misuse{errors.New("--limit must be at least 1")}
	}
	req := map[string]any{"entity": entity, "feature": c.Feature, "as_of": c.AsOf, "as_served": c.AsServed, "limit": c.Limit, "below": c.Below}
	if c.Set != "" {
		req["set"] = c.Set
	}
	if c.View != "" {
		req["view"] = c.View
	}
	if len(c.Request) > 0 {
		if req["request"], err = pairs(c.Request, types); err != nil {
			return nil, err
		}
	}
	return json.Marshal(req)
}

// printExplanation writes an explanation for people.
func printExplanation(w io.Writer, x *serve.Explanation) error {
	p := &printer{w: w}
	past := ""
	if x.AsServed {
		past = ", as served"
	}
	p.line("%s of %s as of %s%s: %s", x.Feature, pairsOf(x.Entity), x.AsOf, past, cellText(x.ExplainedValue))
	switch {
	case x.Differs && x.AsServed:
		p.line("  corrected by what arrived later: %s", cellText(x.Corrected))
	case x.Differs:
		p.line("  as served then: %s", cellText(x.Served))
	default:
		p.line("  the same corrected and as served")
	}
	if x.Expression {
		p.line("  it is %s", x.Doc)
		if len(x.Request) > 0 {
			p.line("  with %s of the request", pairsOf(x.Request))
		}
	}
	for i := range x.Inputs {
		p.view(&x.Inputs[i], x)
	}
	p.line("")
	p.line("counted up to (next to read)")
	for _, at := range x.Positions {
		p.line("  %s", placeText(at))
	}
	p.line("state format %d", x.Format)
	return p.err
}

// printer writes lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// table writes rows of cells in columns.
func (p *printer) table(rows [][]string) {
	t := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		_, _ = fmt.Fprintf(t, "  %s\n", strings.Join(r, "\t"))
	}
	if err := t.Flush(); p.err == nil {
		p.err = err
	}
}

func (p *printer) view(v *serve.ExplainedView, x *serve.Explanation) {
	p.line("")
	p.line("%s.%s: %s", v.View, v.Feature, v.Doc)
	if x.Expression || len(x.Inputs) > 1 {
		cell, other := v.Corrected, v.Served
		if x.AsServed {
			cell, other = other, cell
		}
		p.line("  value    %s", cellText(cell))
		if text := cellText(other); text != cellText(cell) {
			p.line("  and      %s in the other past", text)
		}
	}
	window := v.Window + ": "
	switch {
	case v.End == nil:
		window += "nothing"
	case v.Start == nil:
		window += "all before " + *v.End
	default:
		window += "[" + *v.Start + ", " + *v.End + ")"
	}
	if v.Inner > 0 {
		window += fmt.Sprintf(", %d windows within", v.Inner)
	}
	p.line("  window   %s", window)
	if v.TTL != "" {
		p.line("  ttl      %s", v.TTL)
	}
	if v.Horizon != nil {
		p.line("  history  answered from %s on", *v.Horizon)
	}
	p.line("  version  %s", v.Version)
	p.line("  rows     %d in the window, %d of them counted", v.RowsInWindow, v.RowsCounted)
	if v.LookedUpLate {
		p.line("  late     features of other views, which its rows have, rest on rows that arrived after the instant")
	}
	p.summaries(v)
	p.rows("rows, the newest last", v.Rows, v.RowsMore, v.Columns)
	marked := 0
	for _, r := range v.Rows {
		if r.Late {
			marked++
		}
	}
	if marked > 0 && marked == len(v.Late) && v.LateMore == 0 { // all of them are in the list above
		p.line("")
		p.line("  %d of them came late: counted now, and not yet at the instant", marked)
		return
	}
	p.rows("late: counted now, and not yet at the instant", v.Late, v.LateMore, v.Columns)
}

func (p *printer) summaries(v *serve.ExplainedView) {
	if len(v.Summaries) == 0 {
		return
	}
	p.line("")
	p.line("  %d summaries%s", int64(len(v.Summaries))+v.SummariesMore, moreText(v.SummariesMore))
	rows := [][]string{{"block", "level", "first row", "last row", "rows", "counted", "arrived by", "up to"}}
	for _, s := range v.Summaries {
		var next []string
		for _, at := range s.Next {
			next = append(next, placeText(at))
		}
		block := fmt.Sprint(s.Block)
		if s.Trimmed {
			block = "trimmed"
		}
		rows = append(rows, []string{
			block, fmt.Sprint(s.Level), s.From, s.To, fmt.Sprint(s.Rows), fmt.Sprint(s.Counted),
			s.Arrival + lateText(s.Late), strings.Join(next, " "),
		})
	}
	p.table(rows)
}

func (p *printer) rows(title string, list []serve.ExplainedRow, more int64, columns []string) {
	if len(list) == 0 {
		return
	}
	p.line("")
	p.line("  %d %s%s", int64(len(list))+more, title, moreText(more))
	rows := [][]string{append([]string{"event time", "arrival", "record"}, columns...)}
	for _, r := range list {
		at := placeText(r.ExplainedAt)
		if r.Index > 0 {
			at += fmt.Sprintf("#%d", r.Index)
		}
		row := []string{r.EventTime, r.Arrival + lateText(r.Late), at}
		for _, v := range r.Values {
			row = append(row, string(v))
		}
		rows = append(rows, row)
	}
	p.table(rows)
}

func moreText(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d not listed (--limit)", n)
}

func lateText(late bool) string {
	if late {
		return " late"
	}
	return ""
}

// placeText is source topic/partition@offset.
func placeText(at serve.ExplainedAt) string {
	return fmt.Sprintf("%s %s/%d@%d", at.Source, at.Log, at.Partition, at.Offset)
}

func cellText(v serve.ExplainedValue) string {
	text := fmt.Sprintf("%s (%s", v.Value, v.Status)
	if v.EventTime != nil {
		text += ", newest row " + *v.EventTime
	}
	return text + ")"
}

// pairsOf writes columns by name.
func pairsOf(m map[string]json.RawMessage) string {
	var out []string
	for name, v := range m {
		text := string(v)
		var s string
		if json.Unmarshal(v, &s) == nil {
			text = s
		}
		out = append(out, name+"="+text)
	}
	sort.Strings(out)
	return strings.Join(out, " ")
}
