package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

type getCmd struct {
	File     string   `arg:"" help:"Pipeline file."`
	Keys     []string `arg:"" name:"key=value" help:"The entity: each key column with its value."`
	State    string   `placeholder:"DIR" xor:"where" required:"" help:"State directory; a server that has it open is asked instead."`
	Server   string   `placeholder:"URL" xor:"where" required:"" help:"A running server."`
	Set      string   `help:"Feature set."`
	View     string   `help:"View."`
	Features []string `placeholder:"NAME,…" help:"Features: of the set or view, or dotted."`
	Request  []string `placeholder:"NAME=VALUE" help:"Request columns of the set."`
	AsOf     string   `default:"latest" help:"An RFC 3339 instant, now, or latest."`
	JSON     bool     `name:"json" help:"Print the server's JSON."`
}

// Help shows an example.
func (getCmd) Help() string {
	return "Example:\n  penstock get pipeline.yaml --state data --view user_spend user_id=u1"
}

// Run asks /v1/features, of the server or of one made for this question over the directory.
func (c getCmd) Run(e *env) error {
	answer, err := ask(e, c.File, c.State, c.Server, "/v1/features", c.body)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := e.out.Write(append(bytes.TrimSpace(answer), '\n'))
		return err
	}
	return printAnswer(e.out, answer)
}

// body makes the request; a value is a number or a boolean where the plan says so, else a string.
func (c getCmd) body(plan *pipeline.Plan) ([]byte, error) {
	types := columnKinds(plan)
	entity, err := pairs(c.Keys, types)
	if err != nil {
		return nil, err
	}
	req := map[string]any{"entities": []any{entity}, "as_of": c.AsOf}
	if c.Set != "" {
		req["set"] = c.Set
	}
	if c.View != "" {
		req["view"] = c.View
	}
	if len(c.Features) > 0 {
		req["features"] = c.Features
	}
	if len(c.Request) > 0 {
		row, err := pairs(c.Request, types)
		if err != nil {
			return nil, err
		}
		req["request"] = []any{row}
	}
	return json.Marshal(req)
}

func pairs(list []string, types map[string]event.Kind) (map[string]any, error) {
	out := map[string]any{}
	for _, p := range list {
		name, text, ok := strings.Cut(p, "=")
		if !ok {
			return nil, misuse{fmt.Errorf("%q is not name=value", p)}
		}
		switch types[name] {
		case event.Long, event.Double:
			if _, err := strconv.ParseFloat(text, 64); err != nil {
				return nil, misuse{fmt.Errorf("%s: %q is not a number", name, text)}
			}
			out[name] = json.Number(text)
		case event.Bool:
			out[name] = text == "true"
		default:
			out[name] = text
		}
	}
	return out, nil
}

// serverHint is what to do about a server that does not answer.
const serverHint = "is `penstock run` running, and does it listen there?"

// refusal turns an error answer into an error.
func refusal(answer []byte) error {
	var x struct {
		Error struct{ Message, Hint, At string }
	}
	if err := json.Unmarshal(answer, &x); err != nil || x.Error.Message == "" {
		return fmt.Errorf("the server refused: %.200s", answer)
	}
	err := errors.New(x.Error.Message)
	if x.Error.At != "" {
		err = fmt.Errorf("%s: %s", x.Error.At, x.Error.Message)
	}
	return hinted{err, x.Error.Hint}
}

func printAnswer(w io.Writer, answer []byte) error {
	var x struct {
		Features []string
		Rows     []struct {
			Values    []json.RawMessage
			Status    []string
			EventTime []*string `json:"event_time"`
		}
		AsOf string `json:"as_of"`
	}
	if err := json.Unmarshal(answer, &x); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "as of\t%s\n", x.AsOf)
	for _, row := range x.Rows {
		for i, name := range x.Features {
			at := ""
			if row.EventTime[i] != nil {
				at = *row.EventTime[i]
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, row.Values[i], row.Status[i], at)
		}
	}
	return t.Flush()
}
