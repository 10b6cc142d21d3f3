package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/penstock-ml/penstock/internal/script"
)

type testCmd struct {
	Paths    []string `arg:"" name:"file" help:"Test files, or folders whose files *_test.yaml are run."`
	Only     string   `name:"run" placeholder:"REGEX" help:"Only cases whose name (or FILE/NAME) matches."`
	Restarts bool     `help:"Run each case twice more, restarted after every step: killed, and stopped cleanly."`
	JUnit    string   `name:"junit" placeholder:"FILE" help:"Write the results as JUnit XML."`
	JSON     bool     `name:"json" help:"Print the results as JSON."`
	Verbose  bool     `short:"v" help:"Print the cases that passed too."`
}

// Help shows an example.
func (testCmd) Help() string {
	return "Example:\n  penstock test fraud_test.yaml\n\nExit codes: 0 all is as expected, 1 a test file or its pipeline has mistakes, 2 misused,\n3 something is not as expected."
}

// errDiffers ends the program with the exit code of a difference.
var errDiffers = errors.New("a difference was found")

// Run checks all files, runs their cases and prints what is not as expected.
func (c testCmd) Run(e *env) error {
	var opt script.Options
	opt.Restarts = c.Restarts
	if c.Only != "" {
		var err error
		if opt.Run, err = regexp.Compile(c.Only); err != nil {
			return misuse{fmt.Errorf("--run: %w", err)}
		}
	}
	files, err := script.Files(c.Paths)
	if err != nil {
		return misuse{err}
	}
	if len(files) == 0 {
		return misuse{hinted{errors.New("no file there ends in _test.yaml"), "name a file, or a folder that holds some"}}
	}
	began := time.Now()
	suites, found := script.LoadAll(files)
	if found.HasErrors() {
		if c.JSON {
			err = found.WriteJSON(e.out)
		} else {
			err = found.Write(e.errs)
		}
		return errors.Join(err, errPrinted)
	}
	results := script.Run(e.ctx, suites, opt)
	took := time.Since(began)
	if err := e.ctx.Err(); err != nil {
		return err
	}
	if len(results) == 0 {
		return misuse{fmt.Errorf("--run %s matches no case", c.Only)}
	}
	if c.JUnit != "" {
		if err := writeJUnit(c.JUnit, results, took); err != nil {
			return err
		}
	}
	s := script.Summarise(results)
	if c.JSON {
		err = script.WriteJSON(e.out, results, took)
	} else if err = script.WriteText(e.out, results, c.Verbose); err == nil {
		word := "ok"
		if s.Failed > 0 {
			word = "FAIL"
		}
		_, err = fmt.Fprintf(e.out, "%s: %d file(s), %d case(s), %d failed, %.0f ms\n", word, s.Files, s.Cases, s.Failed, float64(took.Microseconds())/1000)
	}
	if err == nil && s.Failed > 0 {
		return errDiffers
	}
	return err
}

func writeJUnit(path string, results []script.Result, took time.Duration) error {
	f, err := os.Create(path) //nolint:gosec // the file that the user names
	if err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	err = script.WriteJUnit(f, results, took)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	return nil
}
