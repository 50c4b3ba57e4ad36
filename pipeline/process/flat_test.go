package process_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"fanmill/pipeline/coordinate"

	"fanmill/pipeline"
)

// A process that serves holds nothing of the runs that have ended: neither goroutines nor memory. FANMILL_TEST_TRIGGERS
// is how many there are.
func TestServingIsFlat(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("FANMILL_TEST_TRIGGERS"))
	n = max(n, 30)
	w := newWorld(t, 4*mb)
	follow := w.node.Follow
	ended := make(chan string, 1)
	w.node.Follow = func(job *pipeline.Job, run string, to []pipeline.ManifestDestination) coordinate.Follower {
		f := follow(job, run, to)
		f.Event = nil // which the world keeps
		f.Done = func(*coordinate.Outcome, error) { ended <- run }
		return f
	}
	branches(w, 3, of(5, 10))
	w.deliverTo("x")
	w.serve()
	measure := func() (goroutines int, heap uint64) {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return runtime.NumGoroutine(), s.HeapAlloc
	}
	trigger := func(from, to int) time.Duration {
		started := time.Now()
		for i := from; i < to; i++ {
			payload := "{}"
			if i%5 == 4 {
				payload = `{"resume":true,"connections":["b02"]}`
			}
			id := fmt.Sprintf("run-%d", i)
			if a := w.ask(pipeline.TopicTrigger("job"), id, payload); a.Run != id {
				t.Fatalf("answered with %+v", a)
			}
			<-ended
		}
		return time.Since(started)
	}
	trigger(0, n/3)
	goroutines, heap := measure()
	first := trigger(n/3, 2*n/3)
	last := trigger(2*n/3, n)
	goroutinesNow, heapNow := measure()
	t.Logf("%d goroutines, %d KB after %d triggers; %d, %d KB after %d; a run took %s, then %s", goroutines, heap>>10, n/3, goroutinesNow, heapNow>>10, n,
		(first / time.Duration(n/3)).Round(time.Microsecond), (last / time.Duration(n/3)).Round(time.Microsecond))
	if goroutinesNow > goroutines+10 { // those of the store come and go
		t.Errorf("%d goroutines, then %d", goroutines, goroutinesNow)
	}
}
