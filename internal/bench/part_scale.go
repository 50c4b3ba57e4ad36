package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"fanmill/internal/minitds"
)

// scalePart is the part whose work is done by several processes.
const scalePart = "scale"

// The work of the part: connections that are asked one at a time by each process that asks, of a database that takes
// its time for every batch of rows, and a receiver that takes its time for every request.
const (
	scalePause       = 20 * time.Millisecond
	scaleConnections = 24
	scaleRows        = 240 // of each connection
	scaleBatch       = 20  // rows after which the database pauses
	scaleRequest     = 60  // rows of a request
	scaleReceivers   = 4   // destinations on one host, to which each process sends one request at a time
	scalePartitions  = 4   // of the one destination that is in partitions
	slowQuery        = "select * from slow"
	fastQuery        = "select * from fast"
)

// scaleProcesses are how many processes of a role share the work.
var scaleProcesses = []int{1, 2, 4}

// benchScale measures what more processes of a role bring: processes that ask, of a database that answers slowly, and
// processes that write, to a receiver that answers slowly. Neither needs the machine's processors.
func benchScale(ctx context.Context, b *bench) (err error) {
	database, err := startSlowDatabase()
	if err != nil {
		return err
	}
	defer database.Close()
	taken, err := startReceiver(scalePause)
	if err != nil {
		return err
	}
	defer taken.close()
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword("fanmill", "fanmill"), Host: database.Addr(), RawQuery: "encrypt=disable"}
	asked := scaleJob(u.String(), slowQuery, map[string]any{"id": "csv", "type": "csv", "filePath": filepath.ToSlash(filepath.Join(b.tmp, "scale.csv"))})
	var receivers []map[string]any
	for i := range scaleReceivers {
		receivers = append(receivers, map[string]any{"id": fmt.Sprintf("hook_%d", i+1), "type": "webhook", "mode": "stream", "maxRowsPerRequest": scaleRequest,
			"url": fmt.Sprintf("%s/%d", taken.url, i+1)})
	}
	sent := scaleJob(u.String(), fastQuery, receivers...)
	parted := scaleJob(u.String(), fastQuery, map[string]any{"id": "hook", "type": "webhook", "mode": "stream", "maxRowsPerRequest": scaleRequest, "partitions": scalePartitions, "url": taken.url + "/0"})

	rounds := min(b.runs, 3)
	b.printf("\n[scale] %d connections of %d rows; 1, 2 and 4 processes; medians of %d runs in turn\n", scaleConnections, scaleRows, rounds)
	t := table{}
	t.add("processes", "1", "2", "4", "of one: 2", "4")
	for _, work := range []struct {
		name  string
		job   map[string]any
		hosts func(n int) (queries, sinks int)
		rows  int
		aims  []float64 // of two and four processes
	}{
		{"query, database pauses 20 ms, rows/s", asked, func(n int) (int, int) { return n, 1 }, scaleConnections * scaleRows, []float64{1.8, 3.4}},
		{"sink, receiver pauses 20 ms, rows/s", sent, func(n int) (int, int) { return 1, n }, scaleConnections * scaleRows * scaleReceivers, nil},
		{"sink, one webhook in 4 partitions, rows/s", parted, func(n int) (int, int) { return 1, n }, scaleConnections * scaleRows, []float64{1.8, 3.4}},
	} {
		all, err := b.scaled(ctx, rounds, work.job, work.rows, work.hosts)
		if err != nil {
			return err
		}
		cells := []string{work.name}
		for i := range all {
			cells = append(cells, count(all[i].rate()))
		}
		for i := range all[1:] {
			cells = append(cells, fmt.Sprintf("%.2f", all[i+1].against(&all[0])))
		}
		t.add(cells...)
		for i, least := range work.aims {
			ratio := all[i+1].against(&all[0])
			b.aim(fmt.Sprintf("%d processes: %s, rate of one (at least %.1f)", scaleProcesses[i+1], work.name, least), ratio, "", ratio >= least)
		}
	}
	t.print(b.out)
	return nil
}

// scaled measures a job by growing numbers of processes. Each number has processes and a NATS server of its own, which
// wait while others are measured.
func (b *bench) scaled(ctx context.Context, rounds int, job map[string]any, rows int, hosts func(n int) (queries, sinks int)) (_ []series, err error) {
	var contenders []contender
	for _, n := range scaleProcesses {
		queries, sinks := hosts(n)
		f, err := b.startFleet(ctx, job, queries, sinks)
		if err != nil {
			return nil, err
		}
		defer f.stop()
		contenders = append(contenders, contender{fmt.Sprintf("%d processes", n), rows, f.run})
	}
	return compete(ctx, rounds, contenders...)
}

// startSlowDatabase starts a server that speaks SQL Server's protocol, which pauses at every few rows of one query.
func startSlowDatabase() (*minitds.Server, error) {
	columns := []minitds.Column{{Name: "id", Type: minitds.BigInt, NotNull: true}, {Name: "customer", Type: minitds.NVarChar(60), NotNull: true}}
	fast := func(n int, row []any) { row[0], row[1] = int64(n), "Deshmukh & Sons" }
	slow := func(n int, row []any) {
		if n%scaleBatch == 0 {
			time.Sleep(scalePause)
		}
		fast(n, row)
	}
	return minitds.Start(minitds.Config{}, minitds.Script{
		slowQuery: {Columns: columns, Count: scaleRows, Make: slow},
		fastQuery: {Columns: columns, Count: scaleRows, Make: fast},
	}.Handler())
}

// scaleJob is a job of the part.
func scaleJob(dsn, query string, destinations ...map[string]any) map[string]any {
	var connections []map[string]any
	for i := range scaleConnections {
		connections = append(connections, map[string]any{"id": fmt.Sprintf("conn_%d", i+1), "name": fmt.Sprintf("Branch_%03d", i+1), "driver": "sqlserver", "dsn": "${" + dsnVariable + "}"})
	}
	return map[string]any{"id": scalePart, "name": "Scale", "query": query, "connections": connections, "destinations": destinations, "parallelPerHost": scaleConnections, "dsn": dsn}
}

// startNATS starts a server of its own for the processes of a fleet.
func startNATS(dir string) (*natsserver.Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: dir, MaxPayload: 8 << 20, NoSigs: true, NoLog: true})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		s.Shutdown()
		return nil, errors.New("the NATS server does not start")
	}
	return s, nil
}
