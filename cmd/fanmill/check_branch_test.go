package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// slowDriver is a server that needs a second to let anybody in, or to refuse.
type slowDriver struct {
	refuses error
	opened  atomic.Int64
}

func (d *slowDriver) Host(string) string { return "branches.example.org" }

func (d *slowDriver) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	d.opened.Add(1)
	select {
	case <-time.After(time.Second):
		return slowSession{}, d.refuses
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type slowSession struct{}

func (slowSession) Columns(int) []columnar.Column {
	return []columnar.Column{{Name: "id", Kind: columnar.Int}}
}
func (slowSession) Stream(context.Context, int, *columnar.Builder, func(*columnar.Builder) bool, func(*columnar.Builder) error) error {
	return errors.New("a check runs no query")
}
func (slowSession) Server() string { return "Slow 1.0" }
func (slowSession) Close() error   { return nil }

// The latency of a branch is its own: what it waits for a place on a server that others share is not part of it, of a branch that answers
// as of one that does not. And a branch that cannot be reached is not waited for twice.
func TestCheckTimeIsTheBranchsOwn(t *testing.T) {
	var connections []object
	for _, id := range []string{"a", "b", "c"} {
		connections = append(connections, object{"id": id, "driver": "sqlite", "dsn": "x.db"})
	}
	job := writeJob(t, "", object{"id": "gst", "query": "select 1 as id", "parallelPerHost": 1, "connections": connections,
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})
	was := databaseKinds
	t.Cleanup(func() { databaseKinds = was })
	for _, c := range []struct {
		refuses        error
		code           int
		opened         int64
		inAll, perHost time.Duration
	}{
		{nil, exitComplete, 3, 3 * time.Second, time.Second},
		{pipeline.Transient(errors.New("the line is dead")), exitPartial, 3, 3 * time.Second, time.Second},
		{pipeline.Permanent(errors.New("no such table")), exitPartial, 6, 6 * time.Second, time.Second}, // does it let us in?
	} {
		synctest.Test(t, func(t *testing.T) {
			d := &slowDriver{refuses: c.refuses}
			databaseKinds = func() map[string]*pipeline.DatabaseKind {
				return map[string]*pipeline.DatabaseKind{"sqlite": {Name: "sqlite", File: true, Driver: d}}
			}
			var out, problems bytes.Buffer
			if code := execute(t.Context(), []string{"check", "--json", job}, &out, &problems); code != c.code {
				t.Fatalf("exit code %d, want %d: %s", code, c.code, problems.String())
			}
			var v struct {
				DurationMs  int64
				Connections []struct{ DurationMs int64 }
			}
			if err := json.Unmarshal(out.Bytes(), &v); err != nil {
				t.Fatal(err)
			}
			if v.DurationMs != c.inAll.Milliseconds() || d.opened.Load() != c.opened {
				t.Errorf("%v: the check took %d ms and opened %d sessions, want %s and %d", c.refuses, v.DurationMs, d.opened.Load(), c.inAll, c.opened)
			}
			for i, line := range v.Connections {
				if line.DurationMs != c.perHost.Milliseconds() {
					t.Errorf("%v: connection %d took %d ms, want %s", c.refuses, i, line.DurationMs, c.perHost)
				}
			}
		})
	}
}

// A branch that cannot give the one moment that the job asks for is found before the night.
func TestCheckAsksForTheSnapshot(t *testing.T) {
	t.Parallel()
	dsn := testdb.MariaDB(t).NewDatabase(t)
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table sale (id int) engine = MyISAM"); err != nil {
		t.Fatal(err)
	}
	job := object{"id": "gst", "query": "select * from sale", "connections": []object{{"id": "a", "driver": "mariadb", "dsn": dsn}},
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}}
	checkJSON(t, exitComplete, writeJob(t, "", job))
	job["snapshot"] = true
	if v := checkJSON(t, exitPartial, writeJob(t, "", job)); !v.Connections[0].Reachable || !strings.Contains(v.Connections[0].Error, "snapshot") {
		t.Errorf("it says %+v", v.Connections[0])
	}
}
