package screen

import (
	"slices"

	"fanmill/pipeline"
)

// Scope is what a run is about, as far as is known when it begins.
type Scope struct {
	Connections  []ScopeConnection
	Destinations []ScopeDestination
	Parallel     int // connections asked at a time
}

// ScopeConnection is a connection that the run is to deliver. Have are the ids of the destinations that have it
// already; where a resume does not tell, Checkpoint does as soon as there is one.
type ScopeConnection struct {
	ID, Name string
	Have     []string
}

// ScopeDestination is a destination of the run.
type ScopeDestination struct {
	ID, Type string
	Label    string // what people call its type, see Scope.Labelled; "" is the type
	Remote   bool   // rows are sent to it
}

// ScopeOf is the scope of a new run of job. With connections, the run is to deliver those only.
func ScopeOf(job *pipeline.Job, connections []string, parallel int) Scope {
	s := Scope{Parallel: parallel}
	for _, c := range job.Connections {
		if len(connections) == 0 || slices.Contains(connections, c.ID) {
			s.Connections = append(s.Connections, ScopeConnection{ID: c.ID, Name: c.Name})
		}
	}
	for _, d := range job.Destinations {
		s.Destinations = append(s.Destinations, ScopeDestination{ID: d.ID, Type: d.Type})
	}
	return s
}

// Labelled is the scope with what people call its destinations, by their type.
func (s Scope) Labelled(labels map[string]string) Scope {
	s.Destinations = slices.Clone(s.Destinations)
	for i := range s.Destinations {
		s.Destinations[i].Label = labels[s.Destinations[i].Type]
	}
	return s
}

// Into is the scope with the destinations of a run that has begun. Those of the job are fewer where each query has a
// file of its own.
func (s Scope) Into(destinations []pipeline.ManifestDestination) Scope {
	s.Destinations = nil
	for _, d := range destinations {
		s.Destinations = append(s.Destinations, ScopeDestination{ID: d.ID, Type: d.Type, Remote: d.Target != ""})
	}
	return s
}

// ledger keeps which destinations still lack which connections. It is for one goroutine at a time.
type ledger struct {
	connections  map[string]*entry
	destinations []string // not given up
	remote       map[string]bool
	total        int
	done         int // every destination has it that was not given up
	missing      int // over, and some destination will not get it in this run
}

// entry is one connection.
type entry struct {
	owed    []string // destinations that neither have it nor have turned it away
	sealed  []string // of these, destinations that rows are sent to and that have them safe
	refused bool     // by a destination, or given up for all
	over    bool
}

func newLedger(s Scope) *ledger {
	l := &ledger{connections: map[string]*entry{}, remote: map[string]bool{}, total: len(s.Connections)}
	for _, d := range s.Destinations {
		l.destinations = append(l.destinations, d.ID)
		l.remote[d.ID] = d.Remote
	}
	for _, c := range s.Connections {
		e := &entry{owed: slices.Clone(l.destinations)}
		e.owed = slices.DeleteFunc(e.owed, func(d string) bool { return slices.Contains(c.Have, d) })
		l.connections[c.ID] = e
		l.settle(e)
	}
	return l
}

// entry finds a connection; one that a resume added is new.
func (l *ledger) entry(id string) *entry {
	e, ok := l.connections[id]
	if !ok {
		e = &entry{owed: slices.Clone(l.destinations)}
		l.connections[id] = e
		l.total = max(l.total, len(l.connections))
	}
	return e
}

// observe takes an event in and returns the connections that are over by it.
func (l *ledger) observe(e pipeline.Event) (over []string) {
	switch e.Kind {
	case pipeline.EventConnected: // one that was missing is asked again: the run delivers anew what was lost
		if c := l.entry(e.Connection); c.over && c.refused {
			l.missing--
			*c = entry{owed: slices.Clone(l.destinations)}
		}
	case pipeline.EventSealed:
		if c := l.entry(e.Connection); l.remote[e.Destination] && !slices.Contains(c.sealed, e.Destination) {
			c.sealed = append(c.sealed, e.Destination)
		}
	case pipeline.EventCommitted, pipeline.EventRejected:
		c := l.entry(e.Connection)
		c.owed = slices.DeleteFunc(c.owed, func(d string) bool { return d == e.Destination })
		c.refused = c.refused || e.Kind == pipeline.EventRejected
		if l.settle(c) {
			over = append(over, e.Connection)
		}
	case pipeline.EventFailed:
		c := l.entry(e.Connection)
		c.owed, c.refused = nil, true
		if l.settle(c) {
			over = append(over, e.Connection)
		}
	case pipeline.EventDetached:
		l.destinations = slices.DeleteFunc(l.destinations, func(d string) bool { return d == e.Destination })
		for id, c := range l.connections {
			before := len(c.owed)
			c.owed = slices.DeleteFunc(c.owed, func(d string) bool { return d == e.Destination })
			c.refused = c.refused || len(c.owed) < before
			if l.settle(c) {
				over = append(over, id)
			}
		}
		slices.Sort(over)
	}
	return over
}

// checkpoint takes the run's own account in, which also knows what was delivered before a resume and by other
// processes. It may be a second old: it adds, and takes nothing back.
func (l *ledger) checkpoint(p pipeline.PublicCheckpoint) (over []string) {
	for _, id := range p.CompletedConnectionIDs {
		if c := l.entry(id); !c.over {
			c.owed = nil
			l.settle(c)
			over = append(over, id)
		}
	}
	for _, id := range p.FailedConnectionIDs {
		if c := l.entry(id); !c.over {
			c.refused = true
			if l.settle(c) {
				over = append(over, id)
			}
		}
	}
	if p.TotalConnections > 0 {
		l.total = p.TotalConnections
	}
	return over
}

// settle counts a connection once nobody waits for it any more, and reports whether that is so just now.
func (l *ledger) settle(e *entry) bool {
	if e.over || len(e.owed) > 0 {
		return false
	}
	e.over = true
	if e.refused {
		l.missing++
	} else {
		l.done++
	}
	return true
}

// left is how many connections are not over.
func (l *ledger) left() int { return max(l.total-l.done-l.missing, 0) }

// waits reports whether all that a connection waits for is to be sent.
func (e *entry) waits() bool {
	if e.over || len(e.owed) == 0 {
		return false
	}
	for _, d := range e.owed {
		if !slices.Contains(e.sealed, d) {
			return false
		}
	}
	return true
}

// waiting counts the connections that wait to be sent, and for nothing else.
func (l *ledger) waiting() (n int) {
	for _, e := range l.connections {
		if e.waits() {
			n++
		}
	}
	return n
}
