package checkpoint

import (
	"slices"
	"time"

	"fanmill/pipeline"
)

// RoomRecord is the line of the runs that have destinations in hand, or want to, in Stores.Runs. A run has room for all
// of its destinations, or for none: two runs that each had a part of the room, and waited for the rest before they ask
// anything, would wait for ever.
type RoomRecord struct {
	Runs []RoomOf `json:"runs"` // in the order in which they came
}

// RoomOf is what a run has reserved, or waits for.
type RoomOf struct {
	Run         string      `json:"run"`
	Incarnation int         `json:"incarnation,omitempty"`
	Groups      []RoomGroup `json:"groups"`
	Granted     bool        `json:"granted,omitempty"`
	Since       time.Time   `json:"since"` // for people
}

// RoomGroup are destinations of one type that go to one place; "" is any.
type RoomGroup struct {
	Kind         string `json:"kind"`
	Place        string `json:"place,omitempty"`
	Destinations int    `json:"destinations"`
}

// DefaultSinkSlots is how many destinations a process writes at a time, of all runs together.
const DefaultSinkSlots = 64

// RoomKey is the RoomRecord of all runs, in Stores.Runs.
func RoomKey() string { return pipeline.RoomKeys + ".destinations" }

// Ask enters a run, at the end of the line, unless it is in it. It reports whether the record has changed.
func (r *RoomRecord) Ask(run string, incarnation int, groups []RoomGroup, now time.Time) bool {
	if i := r.index(run); i >= 0 && r.Runs[i].Incarnation >= incarnation {
		return false
	}
	r.Drop(run, incarnation)
	r.Runs = append(slices.Clip(r.Runs), RoomOf{Run: run, Incarnation: incarnation, Groups: groups, Since: now.UTC()})
	return true
}

// Drop gives back what a run has, or waits for, unless a later incarnation of it has asked.
func (r *RoomRecord) Drop(run string, incarnation int) bool {
	i := r.index(run)
	if i < 0 || r.Runs[i].Incarnation > incarnation {
		return false
	}
	r.Runs = slices.Delete(slices.Clone(r.Runs), i, i+1)
	return true
}

// Grant gives those at the head of the line room, as long as it suffices, by the processes that live. It suffices where
// each type at a place finds a process with room whatever takes which command first. A run that is alone has all of it,
// too little or not: what nobody claims in time is given up. It reports whether the record has changed.
func (r *RoomRecord) Grant(live []ProcessRecord) (changed bool) {
	r.Runs = slices.Clone(r.Runs)
	var granted []RoomGroup
	for _, run := range r.Runs {
		if run.Granted {
			granted = append(granted, run.Groups...)
		}
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Granted {
			continue
		}
		all := slices.Concat(granted, run.Groups)
		if len(granted) > 0 && !suffices(all, live) {
			return changed
		}
		run.Granted, granted, changed = true, all, true
	}
	return changed
}

// Has reports whether a run has room, and which runs those are that have it, or come before, if not.
func (r *RoomRecord) Has(run string) (granted bool, before []string) {
	for _, other := range r.Runs {
		if other.Run == run {
			if other.Granted {
				return true, nil
			}
			continue
		}
		if other.Granted || len(before) < r.index(run) {
			before = append(before, other.Run)
		}
	}
	return false, before
}

func (r *RoomRecord) index(run string) int {
	return slices.IndexFunc(r.Runs, func(o RoomOf) bool { return o.Run == run })
}

// suffices reports whether every destination of these groups finds a process that has room for it: those that could
// take its place in all processes that serve it are no more than those have room for. What nobody serves waits for
// whoever will, and takes no room.
func suffices(groups []RoomGroup, live []ProcessRecord) bool {
	served := func(g RoomGroup) (by []int) {
		for i, p := range live {
			if p.Serves(g.Kind, g.Place) {
				by = append(by, i)
			}
		}
		return by
	}
	for _, g := range groups {
		by := served(g)
		room, load := 0, 0
		for _, i := range by {
			room += live[i].room()
		}
		for _, h := range groups {
			if slices.ContainsFunc(served(h), func(i int) bool { return slices.Contains(by, i) }) {
				load += h.Destinations
			}
		}
		if len(by) > 0 && load > room {
			return false
		}
	}
	return true
}

// Serves reports whether the process takes commands for destinations of a type at a place.
func (r *ProcessRecord) Serves(kind, place string) bool {
	return !r.Draining && slices.Contains(r.Sinks, kind) && (place == "" || slices.Contains(r.Places, place))
}

// room is how many destinations the process has in hand at a time.
func (r *ProcessRecord) room() int {
	if r.Room == 0 {
		return DefaultSinkSlots
	}
	return r.Room
}
