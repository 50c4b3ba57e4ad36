package checkpoint_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"fanmill/checkpoint"
)

// line is a RoomRecord in which runs have asked, in this order, for so many destinations of a type.
func line(t *testing.T, asks ...any) *checkpoint.RoomRecord {
	t.Helper()
	r := &checkpoint.RoomRecord{}
	for i := 0; i < len(asks); i += 3 {
		groups := []checkpoint.RoomGroup{{Kind: asks[i+1].(string), Destinations: asks[i+2].(int)}}
		if !r.Ask(asks[i].(string), 0, groups, time.Time{}) {
			t.Errorf("%s is in line already", asks[i])
		}
	}
	return r
}

func granted(r *checkpoint.RoomRecord) (all []string) {
	for _, o := range r.Runs {
		if o.Granted {
			all = append(all, o.Run)
		}
	}
	return all
}

func writer(room int, kinds ...string) checkpoint.ProcessRecord {
	return checkpoint.ProcessRecord{Sinks: kinds, Room: room}
}

// Sequence 16: a run gets room for all of its destinations or for none, in the order in which they came.
func TestRoomIsForWholeRuns(t *testing.T) {
	r := line(t, "a", "csv", 2, "b", "csv", 2, "c", "csv", 1)
	live := []checkpoint.ProcessRecord{writer(3, "csv")}
	if !r.Grant(live) || !slices.Equal(granted(r), []string{"a"}) {
		t.Errorf("granted %v", granted(r))
	}
	if r.Grant(live) {
		t.Error("granted again")
	}
	if has, before := r.Has("c"); has || !slices.Equal(before, []string{"a", "b"}) { // c would have room, and is not first
		t.Errorf("c has %v, after %v", has, before)
	}
	if !r.Drop("a", 0) || !r.Grant(live) || !slices.Equal(granted(r), []string{"b", "c"}) {
		t.Errorf("once a has ended %v", granted(r))
	}
	r = line(t, "a", "csv", 2, "b", "csv", 2)
	if r.Grant(append(live, writer(1, "csv"))); len(granted(r)) != 2 { // a further process
		t.Errorf("granted %v", granted(r))
	}
}

// A run that needs more than there is has all of it when it is alone, so that nothing waits for ever.
func TestRoomOfALargeRun(t *testing.T) {
	r := line(t, "small", "csv", 1, "large", "csv", 100, "next", "csv", 1)
	live := []checkpoint.ProcessRecord{writer(3, "csv")}
	r.Grant(live)
	if !slices.Equal(granted(r), []string{"small"}) {
		t.Errorf("granted %v", granted(r))
	}
	r.Drop("small", 0)
	r.Grant(live)
	if !slices.Equal(granted(r), []string{"large"}) {
		t.Errorf("granted %v", granted(r))
	}
}

// What could be taken by a process that another type needs counts there, as nobody knows which command it takes first.
// Types that share no process do not hold each other up, nor does what nobody serves.
func TestRoomByTypeAndPlace(t *testing.T) {
	both := []checkpoint.ProcessRecord{writer(3, "csv", "webhook"), writer(3, "webhook")}
	r := line(t, "files", "csv", 2, "hooks", "webhook", 2)
	if r.Grant(both); len(granted(r)) != 1 { // both of hooks may go to the process that writes files
		t.Errorf("granted %v", granted(r))
	}
	apart := []checkpoint.ProcessRecord{writer(2, "csv"), writer(2, "webhook")}
	r = line(t, "files", "csv", 2, "hooks", "webhook", 2, "sheets", "sheets", 9)
	if r.Grant(apart); len(granted(r)) != 3 {
		t.Errorf("granted %v", granted(r))
	}
	at := func(place string) checkpoint.ProcessRecord {
		p := writer(1, "csv")
		p.Places = []string{place}
		return p
	}
	r = &checkpoint.RoomRecord{}
	for _, place := range []string{"one", "two", "one"} {
		r.Ask(fmt.Sprint(len(r.Runs)), 0, []checkpoint.RoomGroup{{Kind: "csv", Place: place, Destinations: 1}}, time.Time{})
	}
	if r.Grant([]checkpoint.ProcessRecord{at("one"), at("two")}); !slices.Equal(granted(r), []string{"0", "1"}) {
		t.Errorf("granted %v", granted(r))
	}
}

// A resume asks anew, and who ended before it frees nothing of it.
func TestRoomOfAResume(t *testing.T) {
	r := line(t, "a", "csv", 1)
	if r.Ask("a", 0, nil, time.Time{}) || !r.Ask("a", 1, nil, time.Time{}) || len(r.Runs) != 1 {
		t.Errorf("%+v", r)
	}
	if r.Drop("a", 0) || !r.Drop("a", 1) {
		t.Errorf("%+v", r)
	}
}
