package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// View reads what the store has of runs, and changes nothing.
type View struct {
	Runs    pipeline.KV
	Records checkpoint.Records
	RowLogs pipeline.RowLogs
	Bus     pipeline.Bus
	Log     *slog.Logger // of records that nobody can read; may be nil
}

func (v *View) pass(err error) {
	if v.Log != nil {
		v.Log.Warn(err.Error())
	}
}

// RunInfo is a run as the store has it, for those who look.
type RunInfo struct {
	Run      string
	Record   checkpoint.RunRecord
	Manifest *pipeline.Manifest
	// Destinations are as people know them, those in partitions in one; Reports and Positions follow their order.
	Destinations []pipeline.ManifestDestination
	Reports      []*pipeline.Report
	Positions    []uint64                         // the sequence that each has committed
	Connections  map[string]checkpoint.ConnRecord // by id; those that are to be asked, or were
	Log          *pipeline.LogState               // nil if there is none any more
	// Cancelled is the wish that the run stops, which its process has yet to obey; nil if nobody wants that.
	Cancelled *checkpoint.Cancellation
}

// Inspect reads a run.
func (v *View) Inspect(ctx context.Context, run string) (*RunInfo, error) {
	doc, err := checkpoint.LoadDocument[checkpoint.RunRecord](ctx, v.Runs, checkpoint.RunKey(run))
	if err != nil {
		return nil, err
	}
	m, err := checkpoint.LoadManifest(ctx, v.Runs, run)
	if err != nil {
		return nil, err
	}
	info := &RunInfo{Run: run, Record: doc.Value(), Manifest: m, Connections: map[string]checkpoint.ConnRecord{}}
	before, err := checkpoint.LoadBefore(ctx, v.Runs, run)
	if err != nil && !errors.Is(err, pipeline.ErrForeign) && !errors.Is(err, checkpoint.ErrLater) {
		return nil, err
	}
	records, errs := map[string]checkpoint.CommitRecord{}, map[string]map[string]string{}
	for i := range m.Destinations {
		d := &m.Destinations[i]
		rec, err := v.Records.Load(ctx, run, d.ID)
		if err == nil {
			err = rec.Check(m, d.ID)
		}
		if errors.Is(err, pipeline.ErrForeign) {
			rec, err = checkpoint.CommitRecord{State: pipeline.RecordDetached, Error: pipeline.ShortError(err)}, nil
		}
		if err != nil && !errors.Is(err, pipeline.ErrNoKey) {
			return nil, err
		}
		reasons, err := v.Records.Errors(ctx, run, d.ID)
		if err != nil {
			return nil, err
		}
		records[d.ID], errs[d.ID] = rec, reasons
	}
	info.Destinations, info.Reports = m.Wholes(), checkpoint.NewReports(m, records, errs)
	for _, r := range info.Reports {
		r.Compare(before, m.Alert)
	}
	for _, d := range info.Destinations {
		whole := checkpoint.Whole(m, d.ID, records)
		info.Positions = append(info.Positions, whole.Seq)
	}
	keys, err := v.Runs.Keys(ctx, pipeline.Token(run)+".conn.*")
	if err != nil {
		return nil, err
	}
	byKey := map[string]string{}
	for _, c := range m.Connections {
		byKey[checkpoint.ConnKey(run, c.ID)] = c.ID
	}
	for _, key := range keys {
		if doc, err := checkpoint.LoadDocument[checkpoint.ConnRecord](ctx, v.Runs, key); err == nil {
			info.Connections[byKey[key]] = doc.Value()
		}
	}
	if info.Record.State == pipeline.RunRunning { // one that cannot be read stops nothing
		if c, err := checkpoint.LoadCancellation(ctx, v.Runs, run); err == nil && c.Stops(&info.Record) {
			info.Cancelled = c
		}
	}
	if log, err := v.RowLogs.Open(ctx, run, info.Record.Generation); err == nil {
		if state, err := log.State(ctx); err == nil {
			info.Log = &state
		}
	}
	return info, nil
}

// LastRun is the id of a job's newest run; ErrNoKey if it never ran. Where another program has changed the pointer to
// it, or removed what that names, it is the newest that can be read.
func (v *View) LastRun(ctx context.Context, job string) (string, error) {
	pointer, err := checkpoint.LoadDocument[checkpoint.JobRun](ctx, v.Runs, checkpoint.JobRunKey(job))
	if err != nil && !errors.Is(err, pipeline.ErrForeign) {
		return "", err
	}
	if run := pointer.Value().Run; err == nil {
		if _, err := v.Runs.Get(ctx, checkpoint.RunKey(run)); !errors.Is(err, pipeline.ErrNoKey) {
			return run, err
		}
	}
	runs, err := v.List(ctx, job)
	if err != nil {
		return "", err
	}
	if len(runs) == 0 {
		return "", pipeline.ErrNoKey
	}
	return runs[0].Run, nil
}

// RunEntry is a run in a list.
type RunEntry struct {
	Run    string
	Record checkpoint.RunRecord
}

// List lists runs, the newest first, of all jobs if job is "".
func (v *View) List(ctx context.Context, job string) ([]RunEntry, error) {
	docs, err := checkpoint.RunRecords(ctx, v.Runs, v.pass)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var out []RunEntry
	for _, doc := range docs {
		if rec := doc.Value(); job == "" || rec.Job == job {
			out = append(out, RunEntry{checkpoint.RunOf(doc), rec})
		}
	}
	slices.SortFunc(out, func(a, b RunEntry) int {
		return cmp.Or(b.Record.Started.Compare(a.Record.Started), strings.Compare(b.Run, a.Run))
	})
	return out, nil
}

// Waiting is a trigger whose run has not begun.
type Waiting struct {
	Run    string // the id that its run will have, unless it resumes another
	Job    string
	Resume bool
	Since  time.Time // when it was stored
}

// MaxWaiting bounds a list of triggers.
const MaxWaiting = 10_000

// Waiting lists the triggers whose runs have not begun, the oldest first, of all jobs if job is "": they wait for
// their turn, or for somebody who serves.
func (v *View) Waiting(ctx context.Context, job string) ([]Waiting, error) {
	topics := []string{pipeline.TopicTriggers, pipeline.TopicInlines}
	if job != "" {
		topics = []string{pipeline.TopicTrigger(job), pipeline.TopicInline(job)}
	}
	var kept []*pipeline.Message
	for _, topic := range topics {
		some, err := v.Bus.Kept(ctx, topic, MaxWaiting)
		if err != nil {
			return nil, err
		}
		kept = append(kept, some...)
	}
	if len(kept) == 0 {
		return nil, nil
	}
	docs, err := checkpoint.RunRecords(ctx, v.Runs, v.pass) // in this order: one that begins in between has a record then
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	begun := map[string]bool{}
	for _, doc := range docs {
		begun[checkpoint.RunOf(doc)] = true
		for _, id := range doc.Value().Triggers {
			begun[id] = true
		}
	}
	var out []Waiting
	for _, msg := range kept {
		w := Waiting{Run: pipeline.RunID(msg), Job: pipeline.Untoken(pipeline.LastToken(msg.Subject)), Since: msg.Stored}
		if begun[w.Run] { // or another message has asked for it
			continue
		}
		begun[w.Run] = true
		if t, err := pipeline.ReadTrigger(msg.Payload); err == nil { // one that cannot be read is refused when its turn comes
			w.Resume = t.Resume
		}
		out = append(out, w)
	}
	slices.SortStableFunc(out, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return out, nil
}
