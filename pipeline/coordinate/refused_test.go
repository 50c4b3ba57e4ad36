package coordinate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// unset is a variable that a process lacks.
type unset string

func (u unset) Error() string   { return fmt.Sprintf("${%s} is not set; set it", string(u)) }
func (u unset) Missing() string { return "${" + string(u) + "}" }

// asker is a process that asks connections, with the variables that it has.
func (w *fenceWorld) asker(n int, has ...string) func() error {
	worker := w.worker()
	worker.Owner = pipeline.Owner{Token: fmt.Sprint("w", n), Host: fmt.Sprint("host", n), PID: n}
	worker.Jobs.Elsewhere = func(text string) (string, error) {
		var bad []error
		for _, name := range []string{"A", "B"} {
			if strings.Contains(text, "${"+name+"}") && !slices.Contains(has, name) {
				bad = append(bad, unset(name))
			}
		}
		return text, errors.Join(bad...)
	}
	return func() error {
		acked := 0
		err := worker.Query(w.t.Context(), pipeline.QueryCommand{Run: "r", Connection: "c"}, func(context.Context) error { acked++; return nil })
		if acked != 1 {
			w.t.Errorf("the command was acknowledged %d times", acked)
		}
		return err
	}
}

// published counts the query commands that a coordinator publishes.
type published struct {
	noBus
	n int
}

func (p *published) Publish(_, _ string, payload []byte) error {
	var c pipeline.QueryCommand
	if err := json.Unmarshal(payload, &c); err == nil && c.Connection == "c" {
		p.n++
	}
	return nil
}

// living are workers that live.
func living(tokens *[]string) func() []checkpoint.ProcessRecord {
	return func() (all []checkpoint.ProcessRecord) {
		for _, token := range *tokens {
			all = append(all, checkpoint.ProcessRecord{Owner: pipeline.Owner{Token: token}, Roles: pipeline.Roles(), Slots: 4})
		}
		return all
	}
}

// refusing is a world whose connection needs two variables, and its coordinator, which has published the command.
func refusing(t *testing.T, workers ...string) (w *fenceWorld, s *supervisor, bus *published, seen func(time.Time)) {
	w = newFenceWorld(t)
	w.job.Connections[0].DSN = "${A} ${B}"
	w.specify(0)
	s, bus = w.coordinator(), &published{}
	s.c.Bus, s.c.Describer, s.c.live = bus, oneServer{}, living(&workers)
	s.c.Owner.LeaseMS = 15000
	s.run.wanted, s.run.fixed = []string{"c"}, checkpoint.RunRecord{Epoch: 1, Generation: 1}
	s.queue, s.asked = s.run.dispatcher(), true
	if err := s.ask(); err != nil || bus.n != 1 {
		t.Fatalf("%d commands, %v", bus.n, err)
	}
	return w, s, bus, func(now time.Time) {
		t.Helper()
		doc := w.record()
		rec := doc.Value()
		var err error
		switch {
		case rec.State == checkpoint.ConnPending && len(rec.Refused) > 0:
			err = s.refused(t.Context(), "c", doc, now)
		case rec.State != checkpoint.ConnPending:
			err = s.connChanged(t.Context(), w.kv.Entries[checkpoint.ConnKey("r", "c")])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Sequence 23: a worker that lacks a variable says so, takes nothing and counts no try; the command goes to others,
// after pauses, until one of them has what it takes.
func TestRefusedConnectionIsAskedElsewhere(t *testing.T) {
	w, s, bus, seen := refusing(t, "run", "w1", "w2", "w3")
	now := time.Now()
	pauses := []time.Duration{}
	for i, ask := range []func() error{w.asker(1), w.asker(2, "A"), w.asker(1), w.asker(1), w.asker(1), w.asker(1), w.asker(1)} {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		w.ends(checkpoint.ConnPending, 0)
		seen(now)
		for waited := time.Duration(0); ; waited += time.Second {
			if err := s.retryRefused(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			if bus.n == i+2 {
				pauses = append(pauses, waited)
				break
			}
			now = now.Add(time.Second)
		}
	}
	second := time.Second
	if want := []time.Duration{second, 2 * second, 4 * second, 8 * second, 16 * second, 30 * second, 30 * second}; !slices.Equal(pauses, want) {
		t.Errorf("the pauses are %v, want %v", pauses, want)
	}
	rec := w.record().Value()
	if rec.Attempt != 0 || rec.Attempts != 0 || len(rec.Refused) != 2 || rec.Refused[0].Worker != "w2" || !slices.Equal(rec.Refused[0].Names, []string{"${B}"}) ||
		rec.Refused[1].Worker != "w1" || rec.Refused[1].Host != "host1" || rec.Refused[1].PID != 1 || !slices.Equal(rec.Refused[1].Names, []string{"${A}", "${B}"}) {
		t.Errorf("the record is %+v", rec)
	}
	if err := w.asker(3, "A", "B")(); err != nil {
		t.Fatal(err)
	}
	w.ends(checkpoint.ConnDone, 1, frames(1)...)
	if seen(now); len(s.refusals) > 0 || w.record().Value().Refused != nil {
		t.Errorf("%d refusals are left, the record is %+v", len(s.refusals), w.record().Value())
	}
}

// When all workers that live have refused for two leases the connection fails, and names what each lacks; one that
// comes in time has it asked. A process that is alone does not wait.
func TestConnectionThatNobodyCanAsk(t *testing.T) {
	lease := 15 * time.Second
	t.Run("nobody", func(t *testing.T) {
		w, s, _, seen := refusing(t, "w1", "w2")
		now := time.Now()
		for _, ask := range []func() error{w.asker(1), w.asker(2, "A")} {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			seen(now)
		}
		for _, after := range []time.Duration{0, lease, 2*lease - 1} {
			s.refusals["c"].due = now.Add(time.Hour) // it is not published meanwhile
			if err := s.retryRefused(t.Context(), now.Add(after)); err != nil {
				t.Fatal(err)
			}
			if state := w.record().Value().State; state != checkpoint.ConnPending {
				t.Fatalf("after %s it is %s", after, state)
			}
		}
		if err := s.retryRefused(t.Context(), now.Add(2*lease)); err != nil {
			t.Fatal(err)
		}
		rec := w.record().Value()
		for _, want := range []string{"process 1 on host1 lacks ${A}, ${B}", "process 2 on host2 lacks ${B}", "resume the run"} {
			if rec.State != checkpoint.ConnGivenUp || !strings.Contains(rec.Error, want) {
				t.Errorf("it is %s: %s; want %q", rec.State, rec.Error, want)
			}
		}
		if err := s.publishFailure(t.Context(), "c", w.record(), rec.Error); err != nil {
			t.Fatal(err)
		}
		w.ends(checkpoint.ConnFailed, 0, "1/0:failed")
	})
	t.Run("a third one comes", func(t *testing.T) {
		workers := []string{"w1"}
		w, s, bus, seen := refusing(t)
		s.c.live = living(&workers)
		now := time.Now()
		if err := w.asker(1)(); err != nil {
			t.Fatal(err)
		}
		seen(now)
		workers = append(workers, "w3")
		if err := s.retryRefused(t.Context(), now.Add(2*lease)); err != nil || bus.n != 2 {
			t.Errorf("%d commands, %v", bus.n, err)
		}
		if err := w.asker(3, "A", "B")(); err != nil {
			t.Fatal(err)
		}
		w.ends(checkpoint.ConnDone, 1, frames(1)...)
	})
	t.Run("alone", func(t *testing.T) {
		w, s, bus, seen := refusing(t, "run")
		worker := w.worker()
		worker.Jobs.Elsewhere = func(string) (string, error) { return "", fmt.Errorf("look up: %w", unset("A")) }
		if err := worker.Query(t.Context(), pipeline.QueryCommand{Run: "r", Connection: "c"}, nil); err != nil {
			t.Fatal(err)
		}
		seen(time.Now())
		if rec := w.record().Value(); rec.State != checkpoint.ConnGivenUp || rec.Error != "look up: ${A} is not set; set it" || bus.n != 1 || len(s.refusals) > 0 {
			t.Errorf("%d commands, %+v", bus.n, rec)
		}
	})
	// A worker claims it in the moment in which the coordinator gives it up: one of them finds that the other was first.
	t.Run("taken meanwhile", func(t *testing.T) {
		w, s, _, seen := refusing(t, "w1")
		if err := w.asker(1)(); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		seen(now)
		if err := w.asker(3, "A", "B")(); err != nil {
			t.Fatal(err)
		}
		if err := s.retryRefused(t.Context(), now.Add(2*lease)); err != nil {
			t.Fatal(err)
		}
		w.ends(checkpoint.ConnDone, 1, frames(1)...)
	})
}

// Sequence 23: a login that is refused to one process is tried once by another, and by no third; the first one does not
// try it again. Where there is no other it is given up at once.
func TestLoginIsTriedOnceElsewhere(t *testing.T) {
	denied := pipeline.Login(errors.New("password authentication failed"))
	now := time.Now()
	steps := func(t *testing.T, seen func(time.Time), asks ...func() error) {
		t.Helper()
		for _, ask := range asks {
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			seen(now)
		}
	}
	t.Run("another one is let in", func(t *testing.T) {
		w, s, _, seen := refusing(t, "w1", "w2")
		w.refuses = denied
		steps(t, seen, w.asker(1, "A", "B"), w.asker(1, "A", "B"), w.asker(1, "A", "B"))
		w.ends(checkpoint.ConnPending, 1)
		rec := w.record().Value()
		if len(rec.Refused) != 1 || rec.Refused[0].String() != "process 1 on host1: password authentication failed" || s.refusals["c"] == nil || rec.Attempts != 0 {
			t.Errorf("the record is %+v", rec)
		}
		w.refuses = nil
		steps(t, seen, w.asker(2, "A", "B"))
		w.ends(checkpoint.ConnDone, 2, frames(2)...)
		if rec := w.record().Value(); rec.Refused != nil || len(s.refusals) > 0 {
			t.Errorf("%d refusals are left, the record is %+v", len(s.refusals), rec)
		}
	})
	t.Run("nor is another one", func(t *testing.T) {
		w, _, _, seen := refusing(t, "w1", "w2", "w3")
		w.refuses = denied
		steps(t, seen, w.asker(1, "A", "B"), w.asker(2, "A", "B"))
		rec := w.record().Value()
		for _, want := range []string{"process 1 on host1: password", "process 2 on host2: password", "correct the login"} {
			if rec.State != checkpoint.ConnGivenUp || !strings.Contains(rec.Error, want) || rec.Attempts != 2 {
				t.Errorf("it is %s after %d attempts: %s; want %q", rec.State, rec.Attempts, rec.Error, want)
			}
		}
	})
	t.Run("there is no other", func(t *testing.T) {
		w, _, _, seen := refusing(t, "w1")
		w.refuses = denied
		steps(t, seen, w.asker(1, "A", "B"))
		if rec := w.record().Value(); rec.State != checkpoint.ConnGivenUp || rec.Error != "password authentication failed" || rec.Attempts != 1 {
			t.Errorf("it is %s after %d attempts: %s", rec.State, rec.Attempts, rec.Error)
		}
	})
}

// However many workers refuse, the record stays small, and keeps the last of them.
func TestRefusalsAreBounded(t *testing.T) {
	var rec checkpoint.ConnRecord
	names := make([]string, 1000)
	for i := range 1000 {
		rec.Refuse(pipeline.Owner{Token: fmt.Sprint("w", i)}, names, errors.New(strings.Repeat("x", 1<<16)))
	}
	data, err := checkpoint.EncodeRecord(rec)
	if err != nil || len(data) > 128<<10 || len(rec.Refused) != 32 || rec.Refused[31].Worker != "w999" {
		t.Errorf("%d bytes, %d refusals, %v", len(data), len(rec.Refused), err)
	}
}
