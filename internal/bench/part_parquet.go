package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// duckdbPackage is a package of npm: the version that CI reads our files with.
const duckdbPackage = "@duckdb/node-api@1.5.6-r.1"

//go:embed native/duckdb.mjs
var duckdbScript []byte

// benchParquet measures rows in memory to a Parquet file with zstd, every contender in a process of its own.
// fanmill is on one core, because a destination writes one connection at a time; DuckDB is on one, and on all.
func benchParquet(ctx context.Context, b *bench) error {
	rows, rounds := b.rows/2, min(b.runs, 3)
	b.printf("\n[parquet] Rows in memory -> Parquet, zstd: %s rows of %d columns; medians of %d runs in turn\n",
		count(float64(rows)), len(sampleColumns), rounds)
	contenders := []contender{b.writer("fanmill, one core", writeWithParquet, rows, 1)}
	var peers []contender
	if b.duck != "off" {
		var err error
		if peers, err = b.duckdb(ctx, rows); err != nil && (b.duck == "on" || ctx.Err() != nil) {
			return err
		} else if err != nil {
			b.leave("DuckDB", err)
		}
	}
	all, err := compete(ctx, rounds, append(contenders, peers...)...)
	if err != nil {
		return err
	}
	t := table{}
	t.add("", "seconds", "rows/s", "of DuckDB, one core", "CPU s", "file MB", "of DuckDB")
	for i := range all {
		s := &all[i]
		rate, size := none, none
		if len(peers) > 0 {
			peer := &all[1]
			rate, size = fmt.Sprintf("%.2f", s.against(peer)), fmt.Sprintf("%.2f", s.median(fileBytes)/peer.median(fileBytes))
		}
		t.add(s.name, seconds(s.median(wallSeconds)), count(s.rate()), rate, seconds(s.median(cpuSeconds)), megabytes(s.median(fileBytes)), size)
	}
	t.print(b.out)
	b.printf("  CPU s are those of the whole process, which makes or reads the rows before.\n")
	return nil
}

// duckdb installs DuckDB and makes what it is to write: a table in memory of the rows that fanmill writes, loaded
// before the clock runs. The error says why there is none.
func (b *bench) duckdb(ctx context.Context, rows int) ([]contender, error) {
	const how = "it needs Node.js and npm (https://nodejs.org; Debian, Ubuntu: apt install npm), " +
		"which fetches " + duckdbPackage
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("there is no %s: %s", program, how)
		}
	}
	folder := filepath.Join(b.tmp, "duckdb")
	script, input := filepath.Join(folder, "duckdb.mjs"), filepath.Join(folder, "rows.parquet")
	if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(script, duckdbScript, 0o644)); err != nil {
		return nil, err
	}
	install := exec.CommandContext(ctx, "npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", duckdbPackage)
	if text, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm install %s: %w %s: %s", duckdbPackage, err, strings.TrimSpace(string(text)), how)
	}
	if _, err := runChild(ctx, rows, nil, childWrite, writeWithParquet, strconv.Itoa(rows), input); err != nil {
		return nil, err
	}
	peer := func(name string, threads int) contender {
		return contender{name, rows, func(ctx context.Context) (result, error) {
			path := filepath.Join(folder, "out.parquet")
			defer os.Remove(path)
			r, err := executeChild(exec.CommandContext(ctx, "node", script, input, path, strconv.Itoa(threads)), rows)
			if err != nil {
				return r, err
			}
			return r, measureFile(path, &r)
		}}
	}
	peers := []contender{peer("DuckDB, one core", 1)}
	if n := runtime.NumCPU(); n > 1 {
		peers = append(peers, peer("DuckDB, all cores", n))
	}
	return peers, nil
}
