package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"fanmill/pipeline/query"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

func newPreview(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	var connection, query string
	rows := 0
	c := &cobra.Command{
		Use:   "preview JOB.json [--connection ID]",
		Short: "Show the first rows of a connection as a table",
		Long:  `preview runs a query of a job on one connection, shows its first rows with the types of its columns, and stops it there.`,
		Example: `  fanmill preview gst.json --connection conn_3
  fanmill preview gst.json --connection conn_3 --query returns --rows 50`,
		Args: arguments(1, 1),
	}
	f.add(c, storeFlags, envDirFlag, logFlags, jsonFlag, jobFlag, paramFlag, queryFlag)
	fl := c.Flags()
	fl.StringVar(&connection, "connection", "", "`id` of the connection (default the first)")
	fl.StringVar(&query, "query", "", "`name` of the query (default the first)")
	fl.IntVar(&rows, "rows", 20, "`number` of rows")
	c.RunE = func(c *cobra.Command, args []string) error {
		var only []string
		if connection != "" {
			only = []string{connection}
		}
		s, file, given, err := f.load(c, args[0], only, stderr)
		if err != nil {
			return err
		}
		if rows < 1 {
			return badLine(c, fmt.Errorf("--rows is at least 1, not %d", rows))
		}
		if connection == "" {
			connection = file.Job.Connections[0].ID
		}
		view, err := s.preview(c.Context(), file, connection, query, rows, given)
		if err != nil {
			return err
		}
		return s.print(stdout, view)
	}
	return c
}

// errEnough ends a query whose first rows are all that is wanted.
var errEnough = errors.New("enough rows")

// preview reads the first rows of a query. It reads one more than it shows, to know whether there are more.
func (s *settings) preview(ctx context.Context, file *config.File, connection, name string, limit int, params []pipeline.Arg) (view screen.PreviewView, err error) {
	c, err := file.Job.Connection(connection)
	if err != nil {
		return view, err
	}
	q, err := queryNamed(c, name)
	if err != nil {
		return view, &exitError{exitBadJob, err}
	}
	q.Args = params
	dsn, err := file.Expand(c.DSN)
	if err != nil {
		return view, err
	}
	ctx, cancel := query.Within(ctx, s.env.QueryTimeout(), file.Job.MaxDuration)
	defer cancel()
	started := time.Now()
	session, err := databaseKinds()[c.Driver].Driver.Open(ctx, pipeline.Request{DSN: dsn, Queries: []pipeline.Query{q}})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return view, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	defer session.Close()
	view = screen.PreviewView{Connection: c.Name, Query: q.Name, Server: session.Server()}
	columns := session.Columns(0)
	for _, col := range columns {
		view.Columns = append(view.Columns, screen.PreviewColumn{Name: col.Name, Type: col.Type()})
	}
	loc, err := time.LoadLocation(file.Job.TimeZone)
	if err != nil {
		return view, err
	}
	clock := columnar.NewClock(loc)
	err = session.Stream(ctx, 0, columnar.NewBuilder(columns), func(b *columnar.Builder) bool { return b.Rows() > limit }, func(b *columnar.Builder) error {
		if b.Rows() == 0 {
			return nil
		}
		encoded, err := b.Encode()
		if err != nil {
			return err
		}
		batch, err := columnar.Decode(encoded)
		if err != nil {
			return err
		}
		for i := range min(batch.Rows, limit-len(view.Rows)) {
			row := make([]screen.PreviewCell, len(batch.Cols))
			for k := range batch.Cols {
				if row[k].Null = batch.Cols[k].Null(i); !row[k].Null {
					row[k].Text = shown(&batch.Cols[k], i, columns[k].Kind, &clock)
				}
			}
			view.Rows = append(view.Rows, row)
		}
		if view.More = batch.Rows > limit; view.More {
			return errEnough
		}
		b.Reset()
		return nil
	})
	view.Millis = time.Since(started).Milliseconds()
	if err != nil && !errors.Is(err, errEnough) {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return view, fmt.Errorf("connection %s: %w", c.Name, err)
	}
	return view, nil
}

// shown is the text of a value as a CSV has it, in the job's time zone: also of an instant that stands as a text,
// because a value beside it is none.
func shown(v *columnar.View, i int, declared columnar.Kind, clock *columnar.Clock) string {
	if (declared == columnar.Instant || declared == columnar.Timestamp) && v.Kind == columnar.Mixed && v.Classes[i] == columnar.ClassMoment {
		if micros, nanos, ok := columnar.ParseMoment(v.Bytes(i), columnar.Instant); ok {
			return string(columnar.AppendMoment(nil, columnar.Instant, micros, nanos, clock.Offset(micros)))
		}
	}
	return string(v.AppendText(nil, i, clock))
}

// queryNamed finds a query of a connection; the first if name is "".
func queryNamed(c *pipeline.Connection, name string) (pipeline.Query, error) {
	for _, q := range c.Queries {
		if name == "" || q.Name == name {
			return q, nil
		}
	}
	var names []string
	for _, q := range c.Queries {
		names = append(names, q.Name)
	}
	return pipeline.Query{}, fmt.Errorf("connection %s has no query %q; it has %s", c.ID, name, strings.Join(names, ", "))
}
