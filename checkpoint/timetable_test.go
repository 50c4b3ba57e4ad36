package checkpoint_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
)

func nightly(all ...string) *pipeline.Job {
	job := &pipeline.Job{ID: "gst.sale", TimeZone: "Europe/Berlin"}
	for _, at := range all {
		job.Schedules = append(job.Schedules, pipeline.Schedule{At: at})
	}
	return job
}

func moment(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

// A schedule is known by what it asks for and when, and by nothing else; the id of its run is one that a run can have.
func TestSchedulesAreKnownByWhatTheyAsk(t *testing.T) {
	same := pipeline.Schedule{At: "30 1 * * *", Missed: "skip", Within: 5}
	ids := map[string]bool{same.ID("a", "UTC"): true}
	for _, s := range []pipeline.Schedule{{At: "30 2 * * *"}, {At: "30 1 * * *", Resume: true}, {At: "30 1 * * *", Params: []byte(`{"a":1}`)}} {
		ids[s.ID("a", "UTC")] = true
	}
	ids[same.ID("b", "UTC")], ids[same.ID("a", "Asia/Kolkata")] = true, true
	if len(ids) != 6 {
		t.Errorf("%d ids of 6", len(ids))
	}
	plain := pipeline.Schedule{At: "30 1 * * *"}
	if plain.ID("a", "UTC") != same.ID("a", "UTC") {
		t.Error("what becomes of missed times changes the id")
	}
	if id := pipeline.ScheduledRunID(same.ID("a", "UTC"), moment("2027-03-28 01:30")); pipeline.CheckRunID(id) != nil || id[len(id)-17:] != "-20270328T013000Z" {
		t.Error(id)
	}
}

// Of two that move a schedule on at once, or pause it meanwhile, both changes stay, and no time is dealt with twice.
func TestTimetablesAreChangedByCompareAndSet(t *testing.T) {
	kv, ctx := &memstore.KV{}, t.Context()
	var table checkpoint.Timetable
	table.Take(nightly("30 1 * * *"), checkpoint.Edition{From: "a"}, moment("2027-03-26 12:00"))
	if _, err := checkpoint.CreateDocument(ctx, kv, checkpoint.TimetableKey("gst.sale"), table); err != nil {
		t.Fatal(err)
	}
	load := func() *checkpoint.Document[checkpoint.Timetable] {
		doc, err := checkpoint.LoadTimetable(ctx, kv, "gst.sale")
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	one, two := load(), load()
	now := one.Value()
	id := now.IDs()[0]
	turn := now.Turn(id, moment("2027-03-27 00:30"))
	if !turn.Due || !turn.Run || !turn.At.Equal(moment("2027-03-27 00:30")) || !turn.Next.Equal(moment("2027-03-28 00:30")) {
		t.Fatalf("%+v", turn)
	}
	if _, changed, err := checkpoint.PauseJob(ctx, kv, "gst.sale", checkpoint.Hand{By: "me"}); err != nil || !changed {
		t.Fatal(changed, err)
	}
	still := func(x *checkpoint.Timetable) bool { return !x.Entries[id].Next.After(turn.At) }
	take := func(x *checkpoint.Timetable) { x.Took(id, turn, "run") }
	if err := one.Change(ctx, still, take); err != nil {
		t.Fatal(err)
	}
	if err := two.Change(ctx, still, take); !errors.Is(err, pipeline.ErrFenced) {
		t.Errorf("the second one: %v", err)
	}
	after := load().Value()
	if e := after.Entries[id]; after.Paused == nil || after.Paused.By != "me" || e.Run != "run" || !e.Next.Equal(turn.Next) {
		t.Errorf("%+v", after)
	}
	if turn := after.Turn(id, moment("2027-04-27 00:30")); turn.Due {
		t.Error("it is due while it is paused")
	}
	if _, changed, err := checkpoint.PauseJob(ctx, kv, "gst.sale", checkpoint.Hand{By: "you"}); err != nil || changed {
		t.Errorf("paused twice: %t, %v", changed, err)
	}
	kv.Lose = func() (bool, bool) { kv.Lose = nil; return true, true }
	if _, changed, err := checkpoint.ResumeJob(ctx, kv, "gst.sale", moment("2027-04-27 12:00")); err != nil || !changed {
		t.Errorf("resumed, with the answer lost: %t, %v", changed, err)
	}
	if e := load().Value().Entries[id]; !e.Next.Equal(moment("2027-04-27 23:30")) {
		t.Errorf("next is %s", e.Next)
	}
	if _, _, err := checkpoint.PauseJob(ctx, kv, "other", checkpoint.Hand{}); !errors.Is(err, pipeline.ErrNoKey) {
		t.Errorf("a job without a timetable: %v", err)
	}
}

// What is no timetable is named, with the way to be rid of it, and the others are listed.
func TestTimetablesThatCannotBeRead(t *testing.T) {
	kv, ctx := &memstore.KV{}, context.Background()
	var table checkpoint.Timetable
	table.Take(nightly("30 1 * * *"), checkpoint.Edition{From: "a"}, moment("2027-03-26 12:00"))
	if _, err := checkpoint.CreateDocument(ctx, kv, checkpoint.TimetableKey("gst.sale"), table); err != nil {
		t.Fatal(err)
	}
	for job, text := range map[string]string{"a": "{}", "b": `{"job":"b","schedules":{"x":{"schedule":{"at":"30 1"},"next":"2027-01-01T00:00:00Z"}}}`,
		"c": `{"job":"c","timeZone":"Mars"}`, "d": `{"job":"d","schedules":{"x":{"schedule":{"at":"30 1 * * *"}}}}`, "e": "x"} {
		if _, err := kv.Put(ctx, checkpoint.TimetableKey(job), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	bad := 0
	all, err := checkpoint.Timetables(ctx, kv, func(err error) {
		if bad++; !errors.Is(err, pipeline.ErrForeign) {
			t.Error(err)
		}
	})
	if err != nil || bad != 5 || len(all) != 1 || all[0].Value().Job != "gst.sale" {
		t.Errorf("%d, %d bad: %v", len(all), bad, err)
	}
}
