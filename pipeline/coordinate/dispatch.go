package coordinate

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// dispatcher publishes the query commands of a run in the job's order, and of the connections on one server only as
// many at a time as the job allows: a worker takes whatever is published. A connection that may be what ends processes
// comes last, and in the end alone.
//
// No more than a window of commands is out at a time, so that a run of many connections does not fill the queue that
// all runs share: who comes later waits for that many of each run before it.
type dispatcher struct {
	limit   int
	window  func() int                      // nil is no bound
	suspect map[string]checkpoint.Suspicion // by connection
	waiting []string                        // connection ids
	host    map[string]string
	busy    map[string]int // by host
	out     map[string]bool
	doubt   map[string]bool // they wait again, and their commands may have been stored all the same
}

// dispatcher makes the dispatcher of a run for the connections wanted.
func (r *run) dispatcher() *dispatcher {
	d := &dispatcher{limit: r.job.ParallelPerHost, window: r.c.window, suspect: map[string]checkpoint.Suspicion{}, waiting: slices.Clone(r.wanted), host: map[string]string{}, busy: map[string]int{}, out: map[string]bool{}, doubt: map[string]bool{}}
	maps.Copy(d.suspect, r.suspect)
	if d.limit == 0 {
		d.limit = pipeline.DefaultParallelPerHost
	}
	for _, id := range r.wanted {
		c, err := r.job.Connection(id)
		if err != nil {
			continue // its worker says so
		}
		d.host[id] = r.c.Describer.Server(r.def, c)
	}
	if r.handover != nil {
		d.takeOver(r.handover.taken)
	}
	d.order()
	return d
}

// takeOver takes out the connections that workers have already, as next has done before.
func (d *dispatcher) takeOver(taken map[string]bool) {
	d.waiting = slices.DeleteFunc(d.waiting, func(id string) bool { return taken[id] })
	for id := range taken {
		d.out[id] = true
		d.busy[d.host[id]]++
	}
}

// order has those wait behind the others that are more suspected.
func (d *dispatcher) order() {
	slices.SortStableFunc(d.waiting, func(a, b string) int { return cmp.Compare(d.suspect[a], d.suspect[b]) })
}

// next takes out the connections whose commands are to be published now.
func (d *dispatcher) next() (ids []string) {
	var later []string
	window := len(d.out) + len(d.waiting)
	if d.window != nil {
		window = d.window()
	}
	least, alone := checkpoint.AskedAlone, false
	for id := range d.out {
		least, alone = min(least, d.suspect[id]), alone || d.suspect[id] == checkpoint.AskedAlone
	}
	for _, id := range d.waiting {
		host, suspect := d.host[id], d.suspect[id]
		waits := alone || len(d.out) > 0 && (suspect == checkpoint.AskedAlone || suspect > least)
		if waits || len(d.out) >= window || host != "" && d.busy[host] >= d.limit {
			later = append(later, id)
			continue
		}
		d.busy[host]++
		d.out[id] = true
		least, alone = min(least, suspect), suspect == checkpoint.AskedAlone
		ids = append(ids, id)
	}
	d.waiting = later
	return ids
}

// ended notes that a connection is no longer asked.
func (d *dispatcher) ended(id string) {
	switch {
	case d.out[id]:
		delete(d.out, id)
		d.busy[d.host[id]]--
	case d.doubt[id]: // another command would find nothing to do, and nobody would hear of its end
		d.waiting = slices.DeleteFunc(d.waiting, func(w string) bool { return w == id })
	}
}

// again has a connection asked again whose worker is gone.
func (d *dispatcher) again(id string, suspect checkpoint.Suspicion) {
	d.ended(id)
	d.suspect[id] = suspect
	d.waiting = append([]string{id}, d.waiting...)
	d.order()
}

// back takes in again what next has taken out and could not be published, the first of which may have been stored
// without an answer.
func (d *dispatcher) back(ids []string) {
	for _, id := range ids {
		d.ended(id)
	}
	d.doubt[ids[0]] = true
	d.waiting = append(slices.Clone(ids), d.waiting...)
}

// call publishes the sink commands. What the store does not take now, because their stream has lost its leader, say,
// the next tick publishes. As long as the run has no room for all of them there are none.
func (s *supervisor) call() error {
	if !s.roomed {
		return nil
	}
	for len(s.uncalled) > 0 {
		if err := s.run.command(s.sinkCommand(s.uncalled[0])); err != nil {
			return s.uncommanded(err)
		}
		s.uncalled = s.uncalled[1:]
	}
	return nil
}

// ask publishes the query commands that are due, as call does. Once the store did not take one, nothing but the tick
// asks it: each try may take seconds, in which the supervisor hears of nothing and gives no sign of life.
func (s *supervisor) ask() error {
	if s.unstored {
		return nil
	}
	ids := s.queue.next()
	for i, id := range ids {
		if err := s.run.command(s.run.queryCommand(id)); err != nil {
			s.queue.back(ids[i:])
			return s.uncommanded(err)
		}
	}
	return nil
}

// commandAgain publishes what could not be published before.
func (s *supervisor) commandAgain() error {
	if s.stopping {
		return nil
	}
	s.unstored = false
	err := s.call()
	if s.asked {
		err = errors.Join(err, s.ask())
	}
	return err
}

func (s *supervisor) uncommanded(err error) error {
	if pipeline.IsPermanent(err) {
		return err
	}
	s.unstored = true
	s.c.Log.Warn("commands of the run could not be stored; trying again", "error", err)
	return nil
}

// connection is the id behind a key of Stores.Runs; "" if the run has no such connection.
func (s *supervisor) connection(key string) string {
	if s.byKey == nil {
		s.byKey = make(map[string]string, len(s.m.Connections))
		for _, c := range s.m.Connections {
			s.byKey[checkpoint.ConnKey(s.m.Run, c.ID)] = c.ID
		}
	}
	return s.byKey[key]
}
