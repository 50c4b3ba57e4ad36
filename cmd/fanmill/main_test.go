package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"fanmill/pipeline"
	"fanmill/stages"
)

// The tests run the program itself: the test binary, started with FANMILL_TEST_CHILD set, is fanmill. Only its databases are
// watched.
func TestMain(m *testing.M) {
	if os.Getenv("FANMILL_TEST_CHILD") != "" {
		drivers = watched
		if slow := os.Getenv("FANMILL_TEST_SLOW"); slow != "" {
			sinkTypes = withSlowed(slow)
		}
		os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr))
	}
	code := m.Run()
	if dir := branchesDir; dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// watched are the real databases, each telling the file FANMILL_TEST_ASKED of every attempt to ask it.
func watched() map[string]pipeline.Driver {
	all := stages.Drivers()
	for name, d := range all {
		all[name] = watchedDriver{d}
	}
	return all
}

type watchedDriver struct{ pipeline.Driver }

func (d watchedDriver) Open(ctx context.Context, dsn string, queries []pipeline.Query) (pipeline.Session, error) {
	f, err := os.OpenFile(os.Getenv("FANMILL_TEST_ASKED"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintln(f, dsn)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	return d.Driver.Open(ctx, dsn, queries)
}
