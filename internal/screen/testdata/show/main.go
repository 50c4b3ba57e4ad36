// Command show looks like fanmill at work: `go run ./internal/screen/testdata/show` draws a made-up run on the
// terminal, with an argument ten times as fast, so that screens can be looked at in windows of all sizes. The golden
// files beside it are what tables look like.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/lmittmann/tint"

	"fanmill/internal/screen"
	"fanmill/pipeline"
)

func main() { run(len(os.Args) > 1) }

// job is 56 connections, some with names that are wide, long or of several scripts.
func job() *pipeline.Job {
	j := &pipeline.Job{ID: "job_gst_data", Name: "GST Sale Data - All Branches", Destinations: []pipeline.Destination{{ID: "excel", Type: "excel"}, {ID: "csv", Type: "csv"}}}
	odd := map[int]string{3: "शाखा_दिल्ली_मुख्य", 5: "支店_東京_新宿西口", 7: "Branch_007_Thiruvananthapuram_Technopark_Phase_III_Annex", 11: "Filiale_Köln"}
	for i := range 56 {
		name := fmt.Sprintf("Branch_%03d", i+1)
		if odd[i+1] != "" {
			name = odd[i+1]
		}
		j.Connections = append(j.Connections, pipeline.Connection{ID: fmt.Sprintf("conn_%d", i+1), Name: name})
	}
	return j
}

// run plays a run of some seconds.
func run(quick bool) {
	const parallel = 6
	j := job()
	scope := screen.ScopeOf(j, nil, parallel).Labelled(map[string]string{"csv": "CSV", "excel": "Excel"})
	p := screen.NewProgress(os.Stderr, scope)
	lines := screen.NewLines(logger(p.Writer()), scope, false)
	tell := func(e pipeline.Event) {
		e.Job, e.Run = j.ID, "20261123-191112-psckdj"
		p.Observe(e)
		lines.Observe(e)
	}
	tell(pipeline.Event{Kind: pipeline.EventStarted})
	next := make(chan int)
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for i := range next {
				ask(j, i, p, tell, quick)
			}
		})
	}
	for i := range j.Connections {
		resident := int64(200+6*i) << 20
		if i%10 == 0 {
			lines.Memory(resident, 512<<20)
		}
		p.Memory(resident, 512<<20)
		next <- i
	}
	close(next)
	workers.Wait()
	p.Close()
}

func logger(w io.Writer) *slog.Logger {
	return slog.New(tint.NewTextHandler(w, &tint.Options{TimeFormat: time.TimeOnly, NoColor: !screen.Colors(os.Stderr)}))
}

// ask plays one connection.
func ask(j *pipeline.Job, i int, p *screen.Progress, tell func(pipeline.Event), quick bool) {
	id, began := j.Connections[i].ID, time.Now()
	pause := 60 * time.Millisecond
	if quick {
		pause /= 10
	}
	tell(pipeline.Event{Kind: pipeline.EventConnected, Connection: id, Attempt: 1})
	attempt := 1
	if i%9 == 4 {
		time.Sleep(10 * pause)
		tell(pipeline.Event{Kind: pipeline.EventRetry, Connection: id, Attempt: 1, Error: "open: connect to postgres: dial tcp 10.3.7.12:5432: connect: connection refused"})
		time.Sleep(20 * pause)
		attempt = 2
		tell(pipeline.Event{Kind: pipeline.EventConnected, Connection: id, Attempt: 2})
	}
	if i == 16 {
		time.Sleep(10 * pause)
		tell(pipeline.Event{Kind: pipeline.EventFailed, Connection: id, Attempt: 1, Millis: 4, Error: `open: connect to postgres: role "nobody" does not exist (SQLSTATE 28000)`})
		return
	}
	rows := int64(0)
	for n := range 40 {
		if i == 9 && n == 20 {
			time.Sleep(100 * pause)
		}
		time.Sleep(pause + time.Duration(rand.Int64N(int64(pause))))
		rows += 2000 + rand.Int64N(4000)
		p.Rows(id, rows)
	}
	tell(pipeline.Event{Kind: pipeline.EventDelivered, Connection: id, Attempt: attempt, Rows: rows, Millis: time.Since(began).Milliseconds()})
	time.Sleep(5 * pause)
	tell(pipeline.Event{Kind: pipeline.EventCommitted, Destination: "csv", Connection: id, Rows: rows})
	time.Sleep(10 * pause)
	tell(pipeline.Event{Kind: pipeline.EventCommitted, Destination: "excel", Connection: id, Rows: rows})
}
