package coordinate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// tell puts notices of a run's end into the outbox, from where they are sent, and takes those who are to be told out of
// the run's record. It may be called again after a crash at any instant, by anybody: what stands in the outbox under a
// key stays, and what is decided by comes last.
//
//	the run's record says who is to be told   a crash: tidying up, or who takes the run over, tells
//	a notice for each of them                 a crash: told again, the notices that are there stay
//	what the job's targets were told last     a crash: told again, and every notice is there
//	the run's record says that all are told
//
// reports are by destination; nil reads them.
func (n *Coordinator) tell(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord], reports []*pipeline.Report) error {
	run, rec := checkpoint.RunOf(doc), doc.Value()
	event, ended := endEvents[rec.State]
	if len(rec.Tell) == 0 || !ended || rec.Busy() {
		return nil
	}
	notices, err := checkpoint.LoadJobNotices(ctx, n.Stores.Runs, rec.Job)
	if err != nil {
		return fmt.Errorf("read what the job's targets were told: %w", err)
	}
	if err := n.tellOf(ctx, run, &rec, event, notices, reports); err != nil {
		return err
	}
	failpoint.Hit("before-told-all")
	same := func(r *checkpoint.RunRecord) bool { return r.Resumes == rec.Resumes && r.Ended.Equal(rec.Ended) }
	if err := doc.Change(ctx, same, (*checkpoint.RunRecord).Told); err != nil && !errors.Is(err, pipeline.ErrFenced) {
		return err // fenced: somebody has told of it, and gone on with the run
	}
	return nil
}

// endEvents are the events that the ends of runs are.
var endEvents = map[pipeline.RunState]pipeline.NoticeEvent{pipeline.RunComplete: pipeline.NoticeComplete, pipeline.RunPartial: pipeline.NoticePartial, pipeline.RunFailed: pipeline.NoticeFailed}

func (n *Coordinator) tellOf(ctx context.Context, run string, rec *checkpoint.RunRecord, event pipeline.NoticeEvent, notices *checkpoint.Document[checkpoint.JobNotices], reports []*pipeline.Report) error {
	last := notices.Value()
	if last.Run == run && last.Incarnation == rec.Resumes {
		return nil // every notice is there
	}
	m, err := checkpoint.LoadManifest(ctx, n.Stores.Runs, run)
	if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) { // then nobody knows what to tell
		n.pass(err)
		return nil
	}
	if err != nil {
		return err
	}
	notice, err := n.noticeOf(ctx, m, rec, reports)
	if err != nil {
		return err
	}
	if last.Last != nil && last.Run != run {
		notice.Last = last.Last
	}
	// A resume that ends as the run had ended before is no news.
	news := last.Run != run || last.Event != event
	told := false
	for i := range rec.Tell {
		t := &rec.Tell[i]
		e := wanted(t, event, last.Bad && !m.Selected)
		if e == "" || !news {
			continue
		}
		own := *notice
		own.Event, own.ID = e, pipeline.NewToken()
		if _, err := checkpoint.PutNotice(ctx, n.Stores.Runs, checkpoint.RunNoticeKey(run, rec.Resumes, t.ID),
			checkpoint.NoticeRecord{Job: rec.Job, Run: run, Event: e, Target: *t, Notice: &own, State: checkpoint.NoticeWaiting, Made: time.Now().UTC()}); err != nil {
			return fmt.Errorf("write the notice of run %s to %s: %w", run, t.ID, err)
		}
		told = true
		failpoint.Hit("after-notice")
	}
	settle := func(j *checkpoint.JobNotices) {
		if j.Last != nil && j.Last.Ended.After(rec.Ended) {
			return // a later run was told of first
		}
		bad := j.Bad || told && event.Bad()
		if event == pipeline.NoticeComplete && !m.Selected {
			bad = false
		}
		j.Settle(run, rec.Resumes, event, bad, &pipeline.NoticeLast{Run: run, State: rec.State, Ended: rec.Ended, Connections: notice.Connections, Complete: notice.Complete, Rows: notice.Rows})
	}
	if err := notices.Change(ctx, checkpoint.Anybody, settle); err != nil {
		return fmt.Errorf("write what the job's targets were told: %w", err)
	}
	return nil
}

// wanted is the event that a target is told of at the end of a run; "" if it is told nothing. Who wants to hear of both
// what is complete and what has recovered hears once.
func wanted(t *pipeline.NotifyTarget, event pipeline.NoticeEvent, bad bool) pipeline.NoticeEvent {
	switch {
	case event == pipeline.NoticeComplete && bad && t.Wants(pipeline.NoticeRecovered):
		return pipeline.NoticeRecovered
	case t.Wants(event):
		return event
	}
	return ""
}

// noticeOf says how a run ended.
func (n *Coordinator) noticeOf(ctx context.Context, m *pipeline.Manifest, rec *checkpoint.RunRecord, reports []*pipeline.Report) (*pipeline.Notice, error) {
	hosts := map[string]string{}
	read := reports == nil
	records, why := map[string]checkpoint.CommitRecord{}, map[string]map[string]string{}
	for i := range m.Destinations {
		d := &m.Destinations[i]
		c, err := n.Records.Load(ctx, m.Run, d.ID)
		if err == nil {
			err = c.Check(m, d.ID)
		}
		if errors.Is(err, pipeline.ErrForeign) || errors.Is(err, pipeline.ErrNoKey) {
			c, err = checkpoint.CommitRecord{State: pipeline.RecordDetached, Error: pipeline.ShortError(err)}, nil
		}
		if err != nil {
			return nil, err
		}
		hosts[d.Whole()], records[d.ID] = c.Host, c
		if !read {
			continue
		}
		if why[d.ID], err = n.Records.Errors(ctx, m.Run, d.ID); err != nil {
			return nil, err
		}
		if err := n.Records.Tell(ctx, m.Run, d.ID, &c); err != nil {
			return nil, err
		}
		records[d.ID] = c
	}
	if read {
		reports = checkpoint.NewReports(m, records, why)
		n.compare(ctx, m, reports)
	}
	notice := pipeline.NewNotice(m, reports)
	notice.State, notice.At, notice.Started, notice.Ended = rec.State, rec.Ended, rec.Started, rec.Ended
	for i := range notice.Places {
		p := &notice.Places[i]
		p.Host = hosts[p.Destination]
		if p.File == "" {
			continue
		}
		if info, err := os.Stat(p.File); err == nil && p.Host == n.Owner.Host && info.Mode().IsRegular() {
			p.Bytes = info.Size()
		}
	}
	return notice, nil
}

// tellLater tells of the end of a run that nobody was told of, as whoever ended it is gone.
func (n *Coordinator) tellLater(ctx context.Context, doc *checkpoint.Document[checkpoint.RunRecord]) {
	if len(doc.Value().Tell) == 0 {
		return
	}
	if err := n.tell(ctx, doc, nil); err != nil && ctx.Err() == nil {
		n.Log.Warn(fmt.Sprintf("nobody could be told how run %s of job %s ended; that is tried again", checkpoint.RunOf(doc), doc.Value().Job), "error", err)
	}
}

// tellOwn tells of the end of a run of this process. What cannot be written now is told by who tidies up.
func (r *run) tellOwn(ctx context.Context, out *Outcome) {
	if out.Lost {
		return // it goes on at once, and its end is what comes then
	}
	if err := r.c.tell(ctx, r.doc, out.Reports); err != nil {
		r.c.Log.Warn(fmt.Sprintf("run %s has ended; who is to be told of that could not be noted, which is tried again", r.m.Run), "error", err)
	}
}

// keepNotices is how long it is known what was told of days on which a job was late.
const keepNotices = 30 * 24 * time.Hour

// forgetNotices removes the notices of days long past, and of runs that are forgotten.
func (n *Coordinator) forgetNotices(ctx context.Context, docs []*checkpoint.Document[checkpoint.RunRecord]) error {
	all, err := checkpoint.Notices(ctx, n.Stores.Runs, n.pass)
	if err != nil {
		return err
	}
	known := func(run string) bool {
		return slices.ContainsFunc(docs, func(doc *checkpoint.Document[checkpoint.RunRecord]) bool { return checkpoint.RunOf(doc) == run })
	}
	for _, doc := range all {
		rec := doc.Value()
		if rec.State == checkpoint.NoticeWaiting || time.Since(rec.Made) < keepNotices || known(rec.Run) {
			continue
		}
		if err := n.Stores.Runs.Delete(ctx, checkpoint.NoticeKeyOf(doc)); err != nil {
			return err
		}
	}
	return nil
}
