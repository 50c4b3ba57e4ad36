package pipeline

import (
	"errors"
	"slices"
)

// dispatcher publishes the query commands of a run in the job's order, and of the connections on one server only as
// many at a time as the job allows: a worker takes whatever is published.
type dispatcher struct {
	limit   int
	waiting []string // connection ids
	host    map[string]string
	busy    map[string]int // by host
	out     map[string]bool
	doubt   map[string]bool // they wait again, and their commands may have been stored all the same
}

// dispatch makes the dispatcher of a run for the connections wanted.
func (r *run) dispatcher() *dispatcher {
	d := &dispatcher{limit: r.job.ParallelPerHost, waiting: r.wanted, host: map[string]string{}, busy: map[string]int{}, out: map[string]bool{}, doubt: map[string]bool{}}
	if d.limit == 0 {
		d.limit = DefaultParallelPerHost
	}
	for _, id := range r.wanted {
		c, err := r.job.Connection(id)
		if err != nil {
			continue // its worker says so
		}
		d.host[id] = r.c.Describer.Server(r.def, c)
	}
	return d
}

// next takes out the connections whose commands are to be published now.
func (d *dispatcher) next() (ids []string) {
	var later []string
	for _, id := range d.waiting {
		host := d.host[id]
		if host != "" && d.busy[host] >= d.limit {
			later = append(later, id)
			continue
		}
		d.busy[host]++
		d.out[id] = true
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
// the next tick publishes.
func (s *supervisor) call() error {
	for len(s.uncalled) > 0 {
		if err := s.run.command(s.run.topic(TopicSink), SinkCommand{Job: s.run.m.JobID, Run: s.run.m.Run, Incarnation: s.run.fixed.Resumes, Destination: s.uncalled[0]}); err != nil {
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
		if err := s.run.command(s.run.topic(TopicQuery), QueryCommand{Job: s.run.m.JobID, Run: s.run.m.Run, Incarnation: s.run.fixed.Resumes, Connection: id}); err != nil {
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
	if IsPermanent(err) {
		return err
	}
	s.unstored = true
	s.run.c.Log.Warn("commands of the run could not be stored; trying again", "error", err)
	return nil
}

// connection is the id behind a key of Stores.Runs; "" if the run has no such connection.
func (s *supervisor) connection(key string) string {
	if s.byKey == nil {
		s.byKey = make(map[string]string, len(s.run.m.Connections))
		for _, c := range s.run.m.Connections {
			s.byKey[ConnKey(s.run.m.Run, c.ID)] = c.ID
		}
	}
	return s.byKey[key]
}

// readConn reads a connection's record out of an entry.
func readConn(e KVEntry) (rec ConnRecord, err error) {
	if err = decode(e.Value, &rec); err != nil {
		err = foreign(e.Key, err)
	}
	return rec, err
}
