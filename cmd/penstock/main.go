// Command penstock turns streams of events into features, and serves the same features to training
// and to production. Each verb is a file; main only parses and maps errors to exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/penstock-ml/penstock/feature"
)

// Exit codes: 0 done, 1 failed or mistakes found, 2 misused, 3 a difference was found.
const (
	exitDone    = 0
	exitFailed  = 1
	exitMisuse  = 2
	exitDiffers = 3
)

// cli is the command line; kong reads it.
type cli struct {
	LogFormat string `enum:"text,json" default:"text" help:"How logs are written to stderr: text or json."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" help:"Least level that is logged."`

	Demo      demoCmd      `cmd:"" help:"Show real flights as live features: a broker, a pipeline and a server in one process."`
	Check     checkCmd     `cmd:"" help:"Find every mistake in pipeline files."`
	Plan      planCmd      `cmd:"" help:"Tell how a pipeline file differs from the plan of a state directory."`
	Run       runCmd       `cmd:"" help:"Consume events, keep features, serve them."`
	Test      testCmd      `cmd:"" help:"Run tests of pipelines: events in, what is expected of features."`
	Produce   produceCmd   `cmd:"" help:"Send the rows of a file to a topic, as Avro."`
	Get       getCmd       `cmd:"" help:"Look features of one entity up."`
	Explain   explainCmd   `cmd:"" help:"Tell what one value rests on: window, rows, positions, what came late."`
	Export    exportCmd    `cmd:"" help:"Write a training table: a spine with features as of each row's instant."`
	Reproduce reproduceCmd `cmd:"" help:"Make a table again from its manifest, byte for byte."`
	Verify    verifyCmd    `cmd:"" help:"Compute features again from raw rows, another way, and compare."`
	Inspect   inspectCmd   `cmd:"" help:"Tell what a state directory holds."`
	Version   versionCmd   `cmd:"" help:"Print version, commit and formats."`
}

// env is what a verb runs with: data goes to out, all else to errs.
type env struct {
	ctx  context.Context
	out  io.Writer
	errs io.Writer
	log  *slog.Logger
}

// misuse is an error of the command line: exit code 2.
type misuse struct{ error }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// printed is an error that has been reported already.
var errPrinted = errors.New("already reported")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run parses args, runs the verb and returns the exit code.
func run(ctx context.Context, args []string, out, errs io.Writer) (code int) {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("penstock"),
		kong.Description("Streams of events in, features out: the same for training and for serving."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(out, errs),
		kong.Exit(func(n int) { exited = n }),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(errs, "penstock: %v\n  hint: penstock --help\n", err)
		return exitMisuse
	}
	e := env{ctx: ctx, out: out, errs: errs, log: newLogger(errs, c.LogFormat, c.LogLevel)}
	return report(errs, kctx.Run(&e))
}

// report prints an error with its hint and returns the exit code.
func report(errs io.Writer, err error) int {
	var m misuse
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errPrinted):
		return exitFailed
	case errors.Is(err, errDiffers):
		return exitDiffers
	}
	_, _ = fmt.Fprintf(errs, "penstock: %v\n", err)
	if h := hintOf(err); h != "" && !strings.Contains(err.Error(), "hint: ") {
		_, _ = fmt.Fprintf(errs, "  hint: %s\n", h)
	}
	if errors.As(err, &m) {
		return exitMisuse
	}
	return exitFailed
}

func hintOf(err error) string {
	var h hinted
	var hint interface{ Hint() string }
	var sel *feature.SelectError
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, &hint):
		return hint.Hint()
	case errors.As(err, &sel):
		return sel.Hint
	}
	return exportHint(err)
}

func newLogger(w io.Writer, format, level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // kong has checked it
	opt := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}
