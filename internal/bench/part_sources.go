package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"fanmill/pipeline"
	"fanmill/stages"
)

const aimSource = 0.7 // of the rate of the driver's own loop, also with the encoding

// benchSources measures how fast each database is read, into columns that nobody takes, beside the driver's own loop.
func benchSources(ctx context.Context, b *bench) error {
	b.printf("\n[sources] Database -> nowhere: %s rows of 15 columns; medians of %d runs in turn\n", count(float64(b.rows)), b.runs)
	b.printf("  read: rows into Arrow columns, batches of 768 KB. encode: that, and each batch as its LZ4 message.\n")
	for _, s := range sources {
		db, err := s.start(ctx, b)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			b.leave("sources of "+s.name, err)
			b.printf("\n  %s: left out, see the end\n", s.name)
			continue
		}
		err = b.source(ctx, s.name, db)
		if err = errors.Join(err, db.stop()); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// source lets the stage run against the driver's loops.
func (b *bench) source(ctx context.Context, name string, db *database) error {
	title, err := b.title(ctx, name, db)
	if err != nil {
		return err
	}
	b.printf("\n  %s\n", title)
	contenders := []contender{b.reader("fanmill, read", db, peer{kind: readStage, dsn: db.dsn}), b.reader("fanmill, read and encode", db, peer{kind: readEncode, dsn: db.dsn})}
	for _, p := range db.peers {
		contenders = append(contenders, b.reader(p.name, db, p))
	}
	all, err := compete(ctx, b.runs, contenders...)
	if err != nil {
		return err
	}
	fastest := &all[2]
	for i := range all[2:] {
		if s := &all[2+i]; s.rate() > fastest.rate() {
			fastest = s
		}
	}
	t := table{}
	t.add("", "seconds", "rows/s", "of the driver", "CPU s", "cores", "peak MB")
	for i := range all {
		s := &all[i]
		t.add(s.name, seconds(s.median(wallSeconds)), count(s.rate()), fmt.Sprintf("%.2f", s.against(fastest)), seconds(s.median(cpuSeconds)),
			fmt.Sprintf("%.1f", s.median(result.cores)), megabytes(s.median(peakBytes)))
	}
	t.print(b.out)
	for i, what := range []string{"read", "read and encode"} {
		ratio := all[i].against(fastest)
		b.aim(name+": "+what+", of the driver's fastest, at least 0.70", ratio, "", ratio >= aimSource)
	}
	return nil
}

// title names the server as it names itself.
func (b *bench) title(ctx context.Context, name string, db *database) (string, error) {
	if db.note != "" {
		return name + ": " + db.note, nil
	}
	s, err := stages.Kinds()[db.driver].Driver.Open(ctx, pipeline.Request{DSN: db.dsn, Queries: []pipeline.Query{{SQL: db.query}}})
	if err != nil {
		return "", err
	}
	server := s.Server()
	if !strings.HasPrefix(server, name) { // MySQL, where MariaDB was expected
		server = name + ": " + server
	}
	return server, s.Close()
}

// reader is a child that reads the table.
func (b *bench) reader(name string, db *database, p peer) contender {
	return contender{name, b.rows, func(ctx context.Context) (result, error) {
		return runChild(ctx, b.rows, []string{dsnVariable + "=" + p.dsn}, childRead, p.kind, db.driver, db.query)
	}}
}
