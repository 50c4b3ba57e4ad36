package process_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/trigger"
)

// Sequence 16: a process has room for three destinations, and two runs of two each begin. The second one claims none
// until the first one has ended, and says for what it waits; a run that is gone, and had room, holds nobody up.
func TestRunsHaveRoomForAllDestinations(t *testing.T) {
	w := newWorld(t, 8*mb)
	gate, asked := make(chan struct{}), make(chan struct{})
	slow := waiting(of(20, 10), gate)
	once := sync.OnceFunc(func() { close(asked) })
	slow.opens = func(context.Context, pipeline.Request) error { once(); return nil }
	w.connect("a", slow)
	w.deliverTo("x", "y")
	other := *w.job
	other.ID, other.Destinations = "other", nil
	for _, id := range []string{"p", "q"} {
		other.Destinations = append(other.Destinations, pipeline.Destination{ID: id, Type: "memory", FilePath: id})
	}
	if _, err := checkpoint.CreateDocument(t.Context(), w.node.Stores.Runs, checkpoint.RoomKey(), checkpoint.RoomRecord{Runs: []checkpoint.RoomOf{{Run: "gone", Granted: true,
		Groups: []checkpoint.RoomGroup{{Kind: "memory", Place: pipeline.LocalPlace, Destinations: 3}}}}}); err != nil {
		t.Fatal(err)
	}
	w.node.SinkSlots, w.node.Owner.LeaseMS = 3, 1500
	definition := func(job string, _ json.RawMessage) (*spec.Definition, error) {
		def := w.definition()
		if job == "other" {
			def.Job = &other
			resolve := def.Resolve
			def.Resolve = func(run string, at time.Time) (out []pipeline.ManifestDestination, err error) {
				out, err = resolve(run, at)
				for i, d := range other.Destinations {
					out[i].ID, out[i].Path = d.ID, d.FilePath
				}
				return out, err
			}
		}
		return def, nil
	}
	w.node.Jobs.Served = func(job string) *spec.Definition { def, _ := definition(job, nil); return def }
	ctx, stop := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		ended <- w.node.Serve(ctx, trigger.Service{MaxRuns: 2, Ready: func() { close(ready) }, Find: definition})
	}()
	<-ready
	w.ask(pipeline.TopicTrigger("job"), "one", "{}")
	<-asked
	w.ask(pipeline.TopicTrigger("other"), "two", "{}")
	w.seen("two", func(r checkpoint.RunRecord) bool {
		return strings.Contains(r.LacksRoom, "2 destinations, after one")
	})
	for _, id := range []string{"p", "q"} {
		if rec, err := w.node.Records.Load(t.Context(), "two", id); err != nil || rec.Token != "" {
			t.Errorf("%s is claimed: %+v, %v", id, rec, err)
		}
	}
	close(gate)
	w.becomes("one", pipeline.RunComplete)
	w.becomes("two", pipeline.RunComplete)
	w.exact("p", "a")
	w.exact("q", "a")
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	doc, err := checkpoint.LoadDocument[checkpoint.RoomRecord](t.Context(), w.node.Stores.Runs, checkpoint.RoomKey())
	if err != nil || len(doc.Value().Runs) > 0 {
		t.Errorf("there is left in line %+v, %v", doc.Value(), err)
	}
}
