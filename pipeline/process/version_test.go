package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"fanmill/checkpoint"

	"fanmill/pipeline"
)

// Sequence 12: each record of a run, written by a later version while the run goes on, or when it is to be resumed,
// started over, listed or forgotten. Nothing is done to it, the error names it, and every other job goes on.
func TestLaterRecordsAreLeftAlone(t *testing.T) {
	t.Parallel()
	const later = `{"version":2,"job":"job","state":"waiting"}`
	for _, name := range []string{"run", "manifest", "open conn", "commit", "pointer"} {
		t.Run(name, func(t *testing.T) {
			d := newDamaged(t)
			gate, began := d.next()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ended := make(chan error, 1)
			go func() {
				_, err := d.run(ctx, pipeline.Trigger{})
				ended <- err
			}()
			run := <-began
			kv, key := records[name](d.world, run)
			if _, err := kv.Put(t.Context(), key, []byte(later)); err != nil {
				t.Fatal(err)
			}
			if !ends[name] { // nobody reads it meanwhile
				stop()
			}
			if err := <-ended; ends[name] && (!errors.Is(err, checkpoint.ErrLater) || !strings.Contains(err.Error(), key)) {
				t.Errorf("the run that goes on: %v", err)
			}
			close(gate)
			for what, trigger := range map[string]pipeline.Trigger{"resumed": {Resume: true}, "started over": {}} {
				if name == "open conn" && what == "started over" { // which nobody reads
					continue
				}
				if _, err := d.run(t.Context(), trigger); !errors.Is(err, checkpoint.ErrLater) || !strings.Contains(err.Error(), key) {
					t.Errorf("it is %s: %v", what, err)
				}
			}
			if e, err := kv.Get(t.Context(), key); err != nil || string(e.Value) != later {
				t.Errorf("it has become %s, %v", e.Value, err)
			}
			d.others(t)
			gate, _ = d.next()
			close(gate)
			d.whole(t, pipeline.Trigger{})
		})
	}
}
