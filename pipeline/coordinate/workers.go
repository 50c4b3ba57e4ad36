package coordinate

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// askers are the processes that take query commands of this coordinator, as far as it knows: those that live, ask
// connections, and do not end.
func (n *Coordinator) askers() (all []checkpoint.ProcessRecord) {
	live, alone := n.living()
	if alone {
		return []checkpoint.ProcessRecord{{Owner: n.Owner, Slots: n.Parallel}}
	}
	return slices.DeleteFunc(live, func(p checkpoint.ProcessRecord) bool {
		return p.Draining || !slices.Contains(p.Roles, pipeline.RoleQuery)
	})
}

// living are the processes that share the work of this coordinator's runs, as far as it knows; alone says that this
// process does all of it.
func (n *Coordinator) living() (live []checkpoint.ProcessRecord, alone bool) {
	switch {
	case n.Own:
		return nil, true
	case n.live != nil:
		return n.live(), false
	case n.Peers != nil:
		return n.Peers.Live(), false
	}
	return nil, true
}

// window is how many query commands of a run are out at a time: twice the places of all who take them.
func (n *Coordinator) window() int {
	places := 0
	for _, p := range n.askers() {
		places += p.Slots
	}
	return max(2*places, 2)
}

// Workers are the tokens of the processes that take query commands of this coordinator, as far as it knows.
func (n *Coordinator) Workers() (tokens []string) {
	for _, p := range n.askers() {
		tokens = append(tokens, p.Owner.Token)
	}
	return tokens
}

// lookForWorkers finds out what the run needs and nobody does, and tells when that changes.
func (s *supervisor) lookForWorkers() {
	if s.c.Own || s.c.Peers == nil || s.stopping {
		return
	}
	var lacking []string
	if len(s.queue.out)+len(s.queue.waiting) > 0 && len(s.c.askers()) == 0 {
		lacking = append(lacking, "connections")
	}
	live := s.c.Peers.Live()
	for _, d := range s.m.Destinations {
		rec := s.records[d.ID]
		if rec.Ended() || rec.Token != "" && s.silent(d.ID) <= 0 {
			continue
		}
		kind, place := s.kindAndPlace(d.ID)
		if !slices.ContainsFunc(live, func(p checkpoint.ProcessRecord) bool { return p.Serves(kind, place) }) {
			if text := pipeline.PlaceText(place); text != "" {
				kind += " (" + text + ")"
			}
			lacking = append(lacking, kind)
		}
	}
	slices.Sort(lacking)
	lacking = slices.Compact(lacking)
	if slices.Equal(lacking, s.unserved) {
		return
	}
	if s.unserved = lacking; len(lacking) > 0 {
		s.c.Log.Warn(fmt.Sprintf("nobody serves: %s. Run %s waits for a process that does; see fanmill serve --roles", strings.Join(lacking, ", "), s.m.Run))
	}
}
