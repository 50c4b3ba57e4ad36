// Command bench measures fanmill against what people use otherwise, on this machine: psql's \copy, excelize's StreamWriter,
// libxlsxwriter, and the loops that are written with a database's driver. Peers run in turn with fanmill, in the same minutes, because a figure without its peer says more about
// the machine than about the program. docs/performance.md explains every part.
//
//	go run ./internal/bench
//	go run ./internal/bench -sources
//	go run ./internal/bench -sinks
//	go run ./internal/bench -only rows,append -rows 200000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// part is something to measure.
type part struct {
	name     string
	postgres need
	run      func(ctx context.Context, b *bench) error
}

// need is what a part does with a PostgreSQL server.
type need int

const (
	unused   need = iota
	optional      // what has none says so
	required      // and the program's binary, which reads from it
)

// parts are in the order in which they run.
var parts = []part{
	{"csv", required, benchCSV},
	{"xlsx", required, benchXLSX},
	{"rows", unused, benchRows},
	{"append", unused, benchAppend},
	{"sources", optional, benchSources},
	{"sinks", required, benchSinks},
	{"memory", required, benchMemory},
}

// options are the command line.
type options struct {
	rows   int // of a table that is read; the other parts follow from it
	runs   int // measured, after one that is not
	only   []string
	libx   string // auto, on, off
	dir    string // for databases, artifacts and data folders
	strict bool
}

func main() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) }

// Main is the program. The exit code is 0 also where an aim is missed, because a busy machine misses them too, unless
// -strict is given.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == childCommand {
		return child(args[1:], stdout, stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the clean-up
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	missed, err := run(ctx, o, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	case missed > 0 && o.strict:
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	known := strings.Join(names, ", ")
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.IntVar(&o.rows, "rows", 1_000_000, "rows of a table that is read; part rows writes half of them, part memory up to four times as many")
	fl.IntVar(&o.runs, "runs", 5, "measured runs of each contender, after one warm-up; at most 3 where one takes long")
	only := fl.String("only", "", "comma-separated parts: "+known+" (default all)")
	sources := fl.Bool("sources", false, "the same as -only sources; beside -only, that part too")
	sinks := fl.Bool("sinks", false, "the same as -only sinks; beside -only, that part too")
	fl.StringVar(&o.libx, "libxlsxwriter", "auto", "auto: compare with it where it and a C compiler are installed; on: or fail; off")
	fl.StringVar(&o.dir, "dir", "", "folder for temporary files, several GB (default the system's)")
	fl.BoolVar(&o.strict, "strict", false, "exit with 1 if an aim is missed or a part could not run")
	if err := fl.Parse(args); err != nil {
		return o, err
	}
	if fl.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see -help", fl.Arg(0))
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	if *sources {
		o.only = append(o.only, "sources")
	}
	if *sinks {
		o.only = append(o.only, "sinks")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("-only: there is no part %q; the parts are %s", name, known)
		}
	}
	if !slices.Contains([]string{"auto", "on", "off"}, o.libx) {
		return o, fmt.Errorf("-libxlsxwriter %q: use auto, on or off", o.libx)
	}
	if o.rows < 1000 || o.runs < 1 {
		return o, errors.New("-rows is at least 1000, -runs at least 1")
	}
	return o, nil
}

func (o *options) wants(p part) bool { return o.only == nil || slices.Contains(o.only, p.name) }
