package notices

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fanmill/checkpoint"
	"fanmill/internal/memstore"
	"fanmill/pipeline"
	"fanmill/pipeline/view"
)

// target is a kind whose receiver keeps what it was sent, and answers as a script says.
type target struct {
	mu     sync.Mutex
	ids    []string
	script []error // of the first attempts; nil is a yes
}

func (r *target) kinds() map[string]*pipeline.NotifyKind {
	return map[string]*pipeline.NotifyKind{"x": {Name: "x", Send: func(_ context.Context, s pipeline.NotifySpec) (string, error) {
		if _, err := s.Expand("${HOOK}"); err != nil {
			return "", err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids = append(r.ids, s.Notice.ID)
		if len(r.script) == 0 {
			return "ok", nil
		}
		err := r.script[0]
		r.script = r.script[1:]
		return "ok", err
	}}}
}

func (r *target) sent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

func outboxOf(kv *memstore.KV, r *target, token string) *Outbox {
	return &Outbox{Runs: kv, Owner: pipeline.Owner{Token: token, Host: token}, Kinds: r.kinds(), Log: slog.New(slog.DiscardHandler),
		Expand: func(string) func(string) (string, error) {
			return func(text string) (string, error) { return text, nil }
		}}
}

func put(t *testing.T, kv *memstore.KV, run string) {
	t.Helper()
	rec := checkpoint.NoticeRecord{Job: "job", Run: run, Event: pipeline.NoticePartial, State: checkpoint.NoticeWaiting, Made: time.Now(),
		Target: pipeline.NotifyTarget{ID: "t", Type: "x"}, Notice: &pipeline.Notice{ID: "id of " + run, Event: pipeline.NoticePartial}}
	if made, err := checkpoint.PutNotice(t.Context(), kv, checkpoint.RunNoticeKey(run, 0, "t"), rec); err != nil || !made {
		t.Fatal(made, err)
	}
}

func stateOf(t *testing.T, kv *memstore.KV, run string) checkpoint.NoticeRecord {
	t.Helper()
	doc, err := checkpoint.LoadDocument[checkpoint.NoticeRecord](t.Context(), kv, checkpoint.RunNoticeKey(run, 0, "t"))
	if err != nil {
		t.Fatal(err)
	}
	return doc.Value()
}

// A process is killed before, in or behind each write about a notice, and another one takes over. The receiver is told
// once; a second time, under the same id, only where its yes was not recorded.
func TestANoticeIsSentOnceWhateverIsKilledWhen(t *testing.T) {
	for kill := range 3 {
		for _, happens := range []bool{false, true} {
			kv, r := &memstore.KV{}, &target{}
			put(t, kv, "r")
			dying, end := context.WithCancel(t.Context())
			writes := 0
			kv.Lose = func() (bool, bool) {
				if writes++; writes <= kill {
					return true, false
				}
				end()
				return happens && writes == kill+1, true
			}
			first := outboxOf(kv, r, "a")
			if kill == 1 { // the write behind the attempt outlives the end of the context: the store is gone for it, too
				synctest.Test(t, func(t *testing.T) { _ = first.Once(dying) })
			} else {
				_ = first.Once(dying)
			}
			kv.Lose = nil
			end()
			second := outboxOf(kv, r, "b")
			second.Gone = func(o pipeline.Owner) bool { return o.Token == "a" }
			for range 2 {
				if err := second.Once(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			want := 1
			if kill == 1 && !happens {
				want = 2
			}
			ids := r.sent()
			if len(ids) != want || len(slices.Compact(ids)) != 1 {
				t.Errorf("killed at write %d (happened: %v): the receiver was sent %q", kill, happens, ids)
			}
			if rec := stateOf(t, kv, "r"); rec.State != checkpoint.NoticeSent || rec.Notice != nil {
				t.Errorf("killed at write %d (happened: %v): the notice is %s", kill, happens, rec.State)
			}
		}
	}
}

// Of several processes that look at once, one sends.
func TestOneProcessSends(t *testing.T) {
	kv, r := &memstore.KV{}, &target{}
	for i := range 20 {
		put(t, kv, fmt.Sprint("r", i))
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if err := outboxOf(kv, r, fmt.Sprint("p", i)).Once(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	ids := r.sent()
	slices.Sort(ids)
	if len(ids) != 20 || len(slices.Compact(ids)) != 20 {
		t.Errorf("20 notices were sent as %d", len(ids))
	}
}

// A receiver that is away is tried again, at the pace that it asks for, until it says yes; one that refuses the request
// is not.
func TestAReceiverThatRecoversIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &memstore.KV{}
		r := &target{script: []error{&pipeline.Trouble{Err: errors.New("503")}, &pipeline.Trouble{Err: errors.New("429"), After: time.Hour}, nil}}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan struct{})
		go func() {
			defer close(served)
			outboxOf(kv, r, "a").Serve(ctx)
		}()
		put(t, kv, "r")
		synctest.Wait()
		if rec := stateOf(t, kv, "r"); rec.Tries != 1 || rec.State != checkpoint.NoticeWaiting || rec.Error != "503" {
			t.Errorf("after the first attempt: %+v", rec)
		}
		<-time.After(50 * time.Minute)
		synctest.Wait()
		if n := len(r.sent()); n != 2 {
			t.Errorf("%d attempts before the receiver wants another", n)
		}
		<-time.After(20 * time.Minute)
		synctest.Wait()
		if rec := stateOf(t, kv, "r"); rec.State != checkpoint.NoticeSent || rec.Tries != 3 || rec.Answer != "ok" {
			t.Errorf("after the last attempt: %+v", rec)
		}
		r.script = []error{&pipeline.Trouble{Scope: pipeline.OfRequest, Err: errors.New("422")}}
		put(t, kv, "refused")
		synctest.Wait()
		if rec := stateOf(t, kv, "refused"); rec.State != checkpoint.NoticeGivenUp || rec.Error != "422" {
			t.Errorf("what the receiver refuses: %+v", rec)
		}
		stop()
		<-served
	})
}

// What nobody takes is given up after a day, with the reason; it does not come again.
func TestANoticeIsGivenUpAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv, r := &memstore.KV{}, &target{}
		for range 1000 {
			r.script = append(r.script, &pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("401")})
		}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan struct{})
		go func() {
			defer close(served)
			outboxOf(kv, r, "a").Serve(ctx)
		}()
		put(t, kv, "r")
		<-time.After(keepTrying + time.Minute)
		synctest.Wait()
		rec := stateOf(t, kv, "r")
		if n := len(r.sent()); rec.State != checkpoint.NoticeGivenUp || n < 50 || n > 300 {
			t.Errorf("after a day and %d attempts: %+v", n, rec)
		}
		stop()
		<-served
	})
}

// A process that lacks a variable leaves a notice to one that has it.
func TestAProcessThatLacksAVariableLeavesTheNoticeToOthers(t *testing.T) {
	kv, r := &memstore.KV{}, &target{}
	put(t, kv, "r")
	lacks := outboxOf(kv, r, "a")
	lacks.Expand = func(string) func(string) (string, error) {
		return func(string) (string, error) { return "", missing("HOOK") }
	}
	for range 2 {
		if err := lacks.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rec := stateOf(t, kv, "r"); rec.Tries != 0 || rec.Claimed() || rec.State != checkpoint.NoticeWaiting || rec.Error == "" {
		t.Errorf("after a process without the variable: %+v", rec)
	}
	if err := outboxOf(kv, r, "b").Once(t.Context()); err != nil || len(r.sent()) != 1 {
		t.Errorf("the process that has it sent %d, %v", len(r.sent()), err)
	}
}

type missing string

func (m missing) Error() string   { return string(m) + " is not set" }
func (m missing) Missing() string { return string(m) }

// The claim of a process of which nobody knows whether it lives is waited out.
func TestAClaimIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv, r := &memstore.KV{}, &target{}
		put(t, kv, "r")
		doc, err := checkpoint.LoadDocument[checkpoint.NoticeRecord](t.Context(), kv, checkpoint.RunNoticeKey("r", 0, "t"))
		if err != nil {
			t.Fatal(err)
		}
		if err := doc.Change(t.Context(), checkpoint.Anybody, func(r *checkpoint.NoticeRecord) { r.Take(pipeline.Owner{Token: "asleep"}) }); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan struct{})
		go func() {
			defer close(served)
			outboxOf(kv, r, "a").Serve(ctx)
		}()
		<-time.After(claimPatience - time.Minute)
		synctest.Wait()
		if n := len(r.sent()); n != 0 {
			t.Errorf("it was sent %d times while another process may be at it", n)
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if n := len(r.sent()); n != 1 {
			t.Errorf("it was sent %d times after the claim had stood still", n)
		}
		stop()
		<-served
	})
}

func lateWorld(kv *memstore.KV, zone string) (*Late, *pipeline.Job) {
	job := &pipeline.Job{ID: "job", Name: "Job", TimeZone: zone, Notify: []pipeline.NotifyTarget{{ID: "t", Type: "x", On: []pipeline.NoticeEvent{pipeline.NoticeLate}, LateAfter: "07:00"}}}
	return &Late{Runs: kv, View: &view.View{Runs: kv}, Jobs: func() []*pipeline.Job { return []*pipeline.Job{job} }, Log: slog.New(slog.DiscardHandler)}, job
}

func ended(t *testing.T, kv *memstore.KV, run string, at time.Time, selected bool) {
	t.Helper()
	if _, err := checkpoint.CreateDocument(t.Context(), kv, checkpoint.RunKey(run), checkpoint.RunRecord{Job: "job", State: pipeline.RunComplete, Started: at.Add(-time.Minute), Ended: at}); err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.StoreManifest(t.Context(), kv, &pipeline.Manifest{Run: run, JobID: "job", LogMaxBytes: 64 << 20, Selected: selected}, func(string) []pipeline.Option { return nil }); err != nil {
		t.Fatal(err)
	}
}

func lateDays(t *testing.T, kv *memstore.KV) (days []string) {
	t.Helper()
	docs, err := checkpoint.Notices(t.Context(), kv, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		days = append(days, checkpoint.LateDay(checkpoint.NoticeKeyOf(doc)))
	}
	slices.Sort(days)
	return days
}

// Three serving processes tell once a day that a job is late, in its own zone, on the days on which it is: synctest's
// clock begins on 1 January 2000, 00:00 UTC, which is 05:30 in Kolkata.
func TestAJobIsLateOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &memstore.KV{}
		ctx, stop := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		for range 3 {
			l, _ := lateWorld(kv, "Asia/Kolkata")
			serving.Go(func() { l.Serve(ctx) })
		}
		at := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		at(80 * time.Minute) // 06:50
		if days := lateDays(t, kv); len(days) != 0 {
			t.Errorf("before 07:00 it is late on %q", days)
		}
		at(20 * time.Minute)
		if days := lateDays(t, kv); !slices.Equal(days, []string{"2000-01-01"}) {
			t.Errorf("after 07:00 it is late on %q", days)
		}
		at(20 * time.Hour) // 03:10 on 2 January: it becomes complete, of chosen connections at first
		ended(t, kv, "chosen", time.Now(), true)
		ended(t, kv, "whole", time.Now(), false)
		at(12 * time.Hour)
		if days := lateDays(t, kv); len(days) != 1 {
			t.Errorf("on the day on which it was complete by 03:10, too: %q", days)
		}
		at(12 * time.Hour) // 03:10 on 3 January
		ended(t, kv, "chosen2", time.Now(), true)
		at(12 * time.Hour)
		if days := lateDays(t, kv); !slices.Equal(days, []string{"2000-01-01", "2000-01-03"}) {
			t.Errorf("after two days more it was late on %q", days)
		}
		doc, err := checkpoint.LoadJobNotices(t.Context(), kv, "job")
		if err != nil || !doc.Value().Bad {
			t.Errorf("nothing bad was told: %+v, %v", doc.Value(), err)
		}
		stop()
		serving.Wait()
	})
}

// Who begins to serve a job after that time says that it is late, unless it has never run: it may be new.
func TestANewJobIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := &memstore.KV{}
		<-time.After(10 * time.Hour)
		look := func() {
			ctx, stop := context.WithCancel(t.Context())
			l, _ := lateWorld(kv, "UTC")
			var serving sync.WaitGroup
			serving.Go(func() { l.Serve(ctx) })
			synctest.Wait()
			stop()
			serving.Wait()
		}
		look()
		if days := lateDays(t, kv); len(days) != 0 {
			t.Errorf("a job that has never run is late on %q", days)
		}
		ended(t, kv, "yesterday", time.Now().Add(-20*time.Hour), false)
		look()
		if days := lateDays(t, kv); len(days) != 1 {
			t.Errorf("a job that ran yesterday is late on %q", days)
		}
	})
}
