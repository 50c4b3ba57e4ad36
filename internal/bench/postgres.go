package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/gst"
	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// errNoServer says how to get a server.
var errNoServer = errors.New("there is no PostgreSQL server to measure with")

// dsnVariable carries the DSN to the jobs: it may hold a password.
const dsnVariable = "FANMILL_BENCH_DSN"

// The tables, in a schema of their own: whole has options.rows rows, quarter a fourth of them; wide is made by the part that reads it.
const (
	schema  = "fanmill_bench"
	whole   = schema + ".sale"
	quarter = schema + ".sale_quarter"
	wide    = schema + ".wide"
)

// server is where the rows come from.
type server struct {
	dsn     string
	version string
	psql    string // "" where it is not installed
	stop    func() error
}

// startServer takes the server of FANMILL_TEST_POSTGRES or starts a private one, and makes the tables.
func startServer(ctx context.Context, dir string, rows int) (*server, error) {
	s := &server{dsn: os.Getenv(testdb.EnvPostgres), stop: func() error { return nil }}
	if s.dsn == "" {
		pg, err := testdb.StartPostgres(dir)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoServer, err)
		}
		s.dsn, s.stop = pg.DSN(), pg.Stop
		s.psql, _ = pg.Psql()
	} else {
		s.psql, _ = exec.LookPath("psql")
		s.stop = func() error { return s.exec(context.WithoutCancel(ctx), "DROP SCHEMA IF EXISTS "+schema+" CASCADE") }
	}
	sql := "DROP SCHEMA IF EXISTS " + schema + " CASCADE; CREATE SCHEMA " + schema + ";" + gst.PostgresTable(whole, rows) + gst.PostgresTable(quarter, rows/4)
	if err := s.exec(ctx, sql); err != nil {
		return nil, errors.Join(fmt.Errorf("make the tables: %w", err), s.stop())
	}
	return s, nil
}

// exec runs statements and notes the server's version.
func (s *server) exec(ctx context.Context, sql string) error {
	conn, err := pgconn.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	s.version, _, _ = strings.Cut(conn.ParameterStatus("server_version"), " ")
	_, err = conn.Exec(ctx, sql).ReadAll()
	return err
}

// repeated is a query that returns a table's rows that many times.
func repeated(table string, times int) string {
	return strings.TrimSuffix(strings.Repeat("select * from "+table+" union all ", times), " union all ")
}

// psqlCopy is the peer: psql writes the whole table into a CSV. It is the limit of what a client does without anything
// durable in between.
func (b *bench) psqlCopy() contender {
	return contender{"psql \\copy", b.rows, func(ctx context.Context) (result, error) {
		path := filepath.ToSlash(filepath.Join(b.tmp, "psql.csv"))
		defer os.Remove(path)
		cmd := exec.CommandContext(ctx, b.pg.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", b.pg.dsn,
			"-c", fmt.Sprintf(`\copy (select * from %s) to '%s' csv header`, whole, path))
		r, _, err := execute(cmd)
		if err != nil {
			return r, err
		}
		r.peak = 0 // less than maxRSS can tell
		return r, measureFile(path, &r)
	}}
}

// job is a run of fanmill: the same query over a number of connections, into destinations of these types. All are asked at a time, up
// to parallel, though they are on one server.
type job struct {
	connections  int
	query        string
	rows         int // of all connections together
	destinations []string
	destination  func(dir string) (of map[string]any, artifact string) // in place of destinations
	parallel     int                                                   // 0 is the program's default
	threshold    int                                                   // MEMORY_THRESHOLD_MB; 0 is the program's default
}

// fanmill runs the binary with its defaults otherwise, with a fresh data folder each time.
func (b *bench) fanmill(name string, j job) contender {
	return contender{name, j.rows, func(ctx context.Context) (result, error) {
		dir := filepath.Join(b.tmp, "run")
		defer os.RemoveAll(dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return result{}, err
		}
		file, artifacts, err := j.write(dir)
		if err != nil {
			return result{}, err
		}
		args := []string{"run", file, "--data", filepath.Join(dir, "data")}
		if j.parallel > 0 {
			args = append(args, "--parallel", strconv.Itoa(j.parallel))
		}
		cmd := exec.CommandContext(ctx, b.binary, args...)
		cmd.Dir = dir // of its logs
		cmd.Env = append(os.Environ(), dsnVariable+"="+b.pg.dsn, "LOG_LEVEL=warn", "NATS_URL=", "MEMORY_THRESHOLD_MB=")
		if j.threshold > 0 {
			cmd.Env = append(cmd.Env, "MEMORY_THRESHOLD_MB="+strconv.Itoa(j.threshold))
		}
		r, _, err := execute(cmd)
		if err != nil {
			return r, err
		}
		for _, path := range artifacts {
			err = errors.Join(err, measureFile(path, &r), checkRows(path, j.rows))
		}
		return r, err
	}}
}

// write makes the job file.
func (j *job) write(dir string) (path string, artifacts []string, err error) {
	type object = map[string]any
	var connections, destinations []object
	for i := range j.connections {
		connections = append(connections, object{"id": fmt.Sprintf("conn_%d", i+1), "name": fmt.Sprintf("Branch_%03d", i+1),
			"driver": "postgres", "dsn": "${" + dsnVariable + "}"})
	}
	for _, kind := range j.destinations {
		artifact := filepath.Join(dir, "sales."+map[string]string{"csv": "csv", "excel": "xlsx"}[kind])
		artifacts = append(artifacts, artifact)
		destinations = append(destinations, object{"type": kind, "filePath": artifact})
	}
	if j.destination != nil {
		of, artifact := j.destination(dir)
		if destinations = append(destinations, of); artifact != "" {
			artifacts = append(artifacts, artifact)
		}
	}
	text, err := json.Marshal(object{"id": "bench", "name": "Bench", "query": j.query, "parallelPerHost": j.connections,
		"connections": connections, "destinations": destinations})
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "job.json")
	return path, artifacts, os.WriteFile(path, text, 0o644)
}

// measureFile adds a file's size.
func measureFile(path string, r *result) error {
	info, err := os.Stat(path)
	if err == nil {
		r.file += info.Size()
	}
	return err
}

// checkRows compares the rows that an artifact's report counts with those asked for: a fast wrong result is none.
func checkRows(artifact string, want int) error {
	text, err := os.ReadFile(artifact + ".manifest.json")
	if err != nil {
		return err
	}
	var report pipeline.Report
	if err := json.Unmarshal(text, &report); err != nil {
		return fmt.Errorf("read the report of %s: %w", artifact, err)
	}
	got := int64(0)
	for _, c := range report.Connections {
		for _, n := range c.Rows {
			got += n
		}
	}
	if got != int64(want) {
		return fmt.Errorf("%s has %d rows, not %d", artifact, got, want)
	}
	return nil
}
