// Command bench measures fanmill against what people use otherwise, on this machine: psql's \copy, excelize's StreamWriter,
// libxlsxwriter, DuckDB, and the loops that are written with a database's driver. Peers run in turn with fanmill,
// in the same minutes, because a figure without its peer says more about the machine than about the program.
// docs/performance.md explains every part.
//
//	go run ./internal/bench
//	go run ./internal/bench -sources
//	go run ./internal/bench -sinks
//	go run ./internal/bench -scale
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

	"fanmill/internal/testdb"
)

// part is something to measure.
type part struct {
	name     string
	postgres need
	run      func(ctx context.Context, b *bench) error
	about    string // for the help
}

// need is what a part does with a PostgreSQL server.
type need int

const (
	unused   need = iota
	optional      // what has none says so
	required
)

// parts are in the order in which they run.
var parts = []part{
	{"csv", required, benchCSV, "PostgreSQL to CSV, beside psql's \\copy"},
	{"xlsx", required, benchXLSX, "PostgreSQL to a workbook"},
	{"rows", unused, benchRows, "rows in memory to a workbook, beside excelize and libxlsxwriter"},
	{"append", unused, benchAppend, "a workbook that grows to forty sheets"},
	{"parquet", unused, benchParquet, "rows in memory to a Parquet file, beside DuckDB"},
	{"sources", optional, benchSources, "each database read into columns, beside its driver's own loops"},
	{"sinks", required, benchSinks, "PostgreSQL to each kind of destination"},
	{scalePart, unused, benchScale, "the work of a run by one, two and four processes"},
	{"memory", required, benchMemory, "the peak memory of runs that grow"},
	{"spooled", required, benchSpooled, "that of large runs whose rows wait in a spool"},
	{"thresholds", required, benchThresholds, "that of wide rows under a threshold"},
}

// options are the command line.
type options struct {
	rows   int // of a table that is read; the other parts follow from it
	runs   int // measured, after one that is not
	only   []string
	libx   string // auto, on, off
	duck   string // auto, on, off
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

// peers are for the help.
const peers = "" +
	"  PostgreSQL     its programs initdb and pg_ctl, for a private server, or " + testdb.EnvPostgres + " with a DSN\n" +
	"  MariaDB        its programs, for a private server, or " + testdb.EnvMySQL + " with a DSN\n" +
	"  libxlsxwriter  with a C compiler: apt install gcc libxlsxwriter-dev\n" +
	"  DuckDB         npm fetches it: " + duckdbPackage + "\n"

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	known := strings.Join(names, ", ")
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() {
		fmt.Fprint(stderr, "Measures fanmill beside what people use otherwise, on this machine.\n\n"+
			"    go run ./internal/bench [flags]\n    go run ./internal/bench -only parquet,rows -rows 200000\n\nParts, in their order:\n")
		for _, p := range parts {
			fmt.Fprintf(stderr, "  %-8s %s\n", p.name, p.about)
		}
		fmt.Fprintf(stderr, "\nPeers; what lacks is left out, and the output says how to get it:\n%s\nFlags:\n", peers)
		fl.PrintDefaults()
	}
	fl.IntVar(&o.rows, "rows", 1_000_000, "rows of a table that is read; parts rows and parquet write half of them, parts memory and spooled up to five times as many")
	fl.IntVar(&o.runs, "runs", 5, "measured runs of each contender, after one warm-up; at most 3 where one takes long")
	only := fl.String("only", "", "comma-separated parts: "+known+" (default all)")
	scale := fl.Bool("scale", false, "the same as -only scale; beside -only, that part too")
	sources := fl.Bool("sources", false, "the same as -only sources; beside -only, that part too")
	sinks := fl.Bool("sinks", false, "the same as -only sinks; beside -only, that part too")
	fl.StringVar(&o.libx, "libxlsxwriter", "auto", "auto: compare with it where it and a C compiler are installed; on: or fail; off")
	fl.StringVar(&o.duck, "duckdb", "auto", "auto: compare with it where npm can install it into a temporary folder; on: or fail; off")
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
	if *scale {
		o.only = append(o.only, scalePart)
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
	for name, value := range map[string]string{"libxlsxwriter": o.libx, "duckdb": o.duck} {
		if !slices.Contains([]string{"auto", "on", "off"}, value) {
			return o, fmt.Errorf("-%s %q: use auto, on or off", name, value)
		}
	}
	if o.rows < 1000 || o.runs < 1 {
		return o, errors.New("-rows is at least 1000, -runs at least 1")
	}
	return o, nil
}

func (o *options) wants(p part) bool { return o.only == nil || slices.Contains(o.only, p.name) }
