package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/penstock-ml/penstock/examples"
	"github.com/penstock-ml/penstock/state"
)

// demoDir is where a demo works.
type demoDir struct {
	path      string // absolute
	temporary bool
	example   string // the example's pipeline file
}

// demoMark is the file by which a demo knows its own directory again.
var demoMark = filepath.Join("state", "demo.json")

// openDemoDir makes, checks and empties a directory; no path: a temporary one.
func openDemoDir(path string) (*demoDir, error) {
	text, err := examples.Flights.ReadFile("flights/pipeline.yaml")
	if err != nil {
		return nil, err
	}
	d := &demoDir{temporary: path == "", example: string(text)}
	if d.temporary {
		if d.path, err = os.MkdirTemp("", "penstock-demo-"); err != nil {
			return nil, fmt.Errorf("make a directory for the demo: %w", err)
		}
		return d, nil
	}
	if d.path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("find directory %s: %w", path, err)
	}
	if err := d.takeOver(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.file("state"), 0o750); err != nil {
		return nil, fmt.Errorf("make directory %s: %w", d.path, err)
	}
	if err := writeFile(d.file(demoMark), []byte("{}\n")); err != nil {
		return nil, fmt.Errorf("write to directory %s: %w", d.path, err)
	}
	return d, nil
}

// takeOver removes what an earlier demo left, and refuses a directory that holds anything else.
func (d *demoDir) takeOver() error {
	entries, err := os.ReadDir(d.path)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("open directory %s: %w", d.path, err)
	}
	if _, err := os.Stat(d.file(demoMark)); err != nil {
		return hinted{fmt.Errorf("directory %s is not empty and no earlier demo's", d.path), "name an empty one, or a new one, by --dir"}
	}
	held, pid, err := state.Locked(d.file("state"))
	if err != nil {
		return fmt.Errorf("open directory %s: %w", d.path, err)
	}
	if held {
		return hinted{fmt.Errorf("directory %s is in use by process %d", d.path, pid), "end that demo, or name another directory by --dir"}
	}
	for _, name := range []string{"pipeline.yaml", "spine.csv", "training.parquet", "training.csv", "state"} {
		if err := os.RemoveAll(d.file(name)); err != nil {
			return fmt.Errorf("empty directory %s: %w", d.path, err)
		}
	}
	return nil
}

func (d *demoDir) file(name string) string { return filepath.Join(d.path, name) }

// write writes a file of the directory.
func (d *demoDir) write(name string, f func(io.Writer) error) error {
	file, err := os.Create(d.file(name))
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	w := bufio.NewWriter(file)
	if err := errors.Join(f(w), w.Flush(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// writePipeline writes the example's pipeline file with the addresses of the services in this process,
// whatever the environment says.
func (d *demoDir) writePipeline(broker, registry string) error {
	text := strings.NewReplacer("${KAFKA_BROKERS:-localhost:9092}", broker, "${SCHEMA_REGISTRY_URL:-http://localhost:8081}", registry).Replace(d.example)
	return d.write("pipeline.yaml", func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// close removes a temporary directory. In one that stays, pipeline.yaml becomes the example's, since
// the addresses are gone.
func (d *demoDir) close() error {
	if d.temporary {
		if err := os.RemoveAll(d.path); err != nil {
			return fmt.Errorf("remove the demo's directory: %w", err)
		}
		return nil
	}
	return d.write("pipeline.yaml", func(w io.Writer) error {
		_, err := io.WriteString(w, d.example)
		return err
	})
}
