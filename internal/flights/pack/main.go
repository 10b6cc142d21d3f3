// Command pack makes flights.pack of the tables of nycflights13: see DATA.md one folder up.
//
//	go run ./internal/flights/pack DIR internal/flights/flights.pack
//
// DIR holds flights.csv (or flights.csv.gz) and airports.csv. It prints what it did with each kind of
// row and fails if the tables contradict one another in a way that it does not know.
package main

import (
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // so that the pack does not depend on the machine

	"github.com/penstock-ml/penstock/internal/flights"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	if len(args) != 2 {
		fmt.Fprintln(errs, "usage: pack DIR OUT")
		return 2
	}
	list, counts, err := read(args[0])
	if err == nil {
		err = write(args[1], list)
	}
	if err != nil {
		fmt.Fprintln(errs, err)
		return 1
	}
	fmt.Fprint(out, counts)
	return 0
}

func write(path string, list []flights.Flight) error {
	b, err := flights.Pack(list)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	return nil
}
