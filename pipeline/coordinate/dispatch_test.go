package coordinate

import (
	"errors"
	"log/slog"
	"testing"

	"fanmill/pipeline"
)

// fullBus stores nothing, and counts what it is given.
type fullBus struct {
	pipeline.Bus
	tries int
}

func (b *fullBus) Publish(string, string, []byte) error {
	b.tries++
	return pipeline.Transient(errors.New("no answer"))
}

// While commands cannot be stored each try takes long, in the goroutine that renews the run's lease: the ends of
// connections bring no other one, and neither kind of command waits for the other in one tick.
func TestOneTryATick(t *testing.T) {
	bus := &fullBus{}
	s := newSupervisor(&run{c: &Coordinator{Bus: bus, Log: slog.New(slog.DiscardHandler)}, m: &pipeline.Manifest{JobID: "job", Run: "run", Destinations: []pipeline.ManifestDestination{{ID: "x"}}}})
	s.uncalled, s.asked = []string{"x"}, true
	s.queue = &dispatcher{limit: 1, waiting: []string{"a", "b"}, host: map[string]string{}, busy: map[string]int{}, out: map[string]bool{}, doubt: map[string]bool{}}
	for tick := 1; tick < 4; tick++ {
		if err := errors.Join(s.commandAgain(), s.ask(), s.ask()); err != nil {
			t.Fatal(err)
		}
		if bus.tries != tick {
			t.Errorf("%d tries in %d ticks", bus.tries, tick)
		}
	}
}
