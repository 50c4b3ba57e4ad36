package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fanmill/pipeline/dead"
	"fanmill/pipeline/spool"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/spec"
	"fanmill/pipeline/view"
)

// Letters are the dead requests that this process keeps, and what people decide of them.
type Letters struct {
	Dead        *dead.Folder
	Records     checkpoint.Records
	Runs        pipeline.KV
	View        *view.View
	Holder      Holder
	Sinks       map[string]*pipeline.SinkKind
	StoreID     string
	Spool       *spool.Root // nil if there is none
	LogMaxBytes int64       // of a run's row log
	Log         *slog.Logger
}

// Holder gives this process a run that no other one has.
type Holder interface {
	// Hold calls f while the run is this process's. The error says who has it, if another one does.
	Hold(ctx context.Context, run string, f func(context.Context) error) error
}

// List lists the dead requests that are kept here, the oldest first, of all jobs if job is "".
func (s *Letters) List(ctx context.Context, job string) ([]dead.Standing, error) {
	all, err := s.Dead.List(job)
	if err != nil {
		return nil, err
	}
	var out []dead.Standing
	for _, l := range all {
		info, err := s.letterInfo(ctx, l)
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

// Find finds a dead request by the beginning of its key.
func (s *Letters) Find(ctx context.Context, prefix string) (dead.Standing, error) {
	l, err := s.Dead.Find(prefix)
	if err != nil {
		return dead.Standing{}, err
	}
	return s.letterInfo(ctx, l)
}

func (s *Letters) letterInfo(ctx context.Context, l dead.Letter) (dead.Standing, error) {
	info := dead.Standing{Letter: l}
	rec, live, err := s.recordOf(ctx, &l)
	if err != nil {
		return info, err
	}
	place, err := s.elsewhereOf(&l)
	if err != nil {
		return info, err
	}
	switch {
	case live && slices.Contains(rec.Drops, l.Number):
		info.State = dead.Dropped
	case live && slices.Contains(rec.Replays, l.Number):
		info.State = dead.Again
	case live && rec.State == pipeline.RecordFinished:
		info.State = dead.Settled
	case l.Bodiless:
		info.State = dead.Bodiless
	case !live:
		info.State = dead.Superseded
	case place != "":
		info.State = dead.Waiting + place
	case l.Unknown:
		info.State = dead.Unknown
	default:
		info.State = dead.Refused
	}
	return info, nil
}

// recordOf is the commit record that a letter's request is of. live is false if that is gone, or nobody goes on with
// it.
func (s *Letters) recordOf(ctx context.Context, l *dead.Letter) (rec checkpoint.CommitRecord, live bool, _ error) {
	rec, err := s.Records.Load(ctx, l.Run, l.Destination)
	switch {
	case errors.Is(err, pipeline.ErrNoKey), errors.Is(err, pipeline.ErrForeign):
		return rec, false, nil
	case err != nil:
		return rec, false, err
	case rec.State == pipeline.RecordAbandoned:
		return rec, false, nil
	}
	m, err := checkpoint.LoadManifest(ctx, s.Runs, l.Run)
	if errors.Is(err, pipeline.ErrNoKey) || errors.Is(err, pipeline.ErrForeign) {
		return rec, false, nil
	}
	if err != nil {
		return rec, false, err
	}
	if m.Birth != l.Birth {
		return rec, false, nil
	}
	last, err := s.View.LastRun(ctx, l.Job)
	if errors.Is(err, pipeline.ErrNoKey) {
		return rec, false, nil
	}
	return rec, last == l.Run, err
}

// elsewhereOf names the host whose disk a letter's run waits on; "" if that is this one's, or nobody knows.
func (s *Letters) elsewhereOf(l *dead.Letter) (string, error) {
	if l.Place == nil || s.Spool == nil {
		return "", nil
	}
	place, err := s.Spool.Place()
	if err != nil || place.ID == l.Place.ID {
		return "", err
	}
	return l.Place.Host, nil
}

// Replay marks a dead request to be sent again, with the same bytes under the same key, by the next resume of its run.
// One of which nobody knows whether the receiver took it is refused, unless resend; so is one whose run has given way
// to another one: see Resend.
func (s *Letters) Replay(ctx context.Context, l dead.Letter, resend bool) error {
	if err := replayable(&l, resend); err != nil {
		return err
	}
	return s.decide(ctx, l, func(c *checkpoint.CommitRecord) { c.Replay(l.Number) })
}

// replayable refuses what cannot, or must not, be sent as it is.
func replayable(l *dead.Letter, resend bool) error {
	switch {
	case l.Bodiless:
		return pipeline.Permanent(fmt.Errorf("request %s cannot be sent: its bytes are gone; fanmill dead drop gives it up", l.Key))
	case l.Unknown && !resend:
		return pipeline.Permanent(fmt.Errorf("request %s may have been taken (%s): look at the receiver, then drop it, or send it again with --resend", l.Key, l.Error))
	}
	return nil
}

// ErrSuperseded is a letter whose run has given way to another one.
var ErrSuperseded = errors.New("its run was given up for another one, which may have sent the same rows under other keys")

// decide writes what is to become of a letter into the record of its request, under a claim of its run. The next claim
// of the record does it: see obey.
func (s *Letters) decide(ctx context.Context, l dead.Letter, change func(*checkpoint.CommitRecord)) error {
	rec, live, err := s.recordOf(ctx, &l)
	if err != nil {
		return err
	}
	place, err := s.elsewhereOf(&l)
	switch {
	case err != nil:
		return err
	case !live:
		return pipeline.Permanent(fmt.Errorf("request %s of run %s: %w", l.Key, l.Run, ErrSuperseded))
	case rec.State == pipeline.RecordFinished:
		return pipeline.Permanent(fmt.Errorf("request %s: run %s owes nothing to %s any more; fanmill dead drop removes it", l.Key, l.Run, l.Destination))
	case place != "":
		return pipeline.Permanent(fmt.Errorf("request %s is waiting for %s: the outbox of its run is on that disk; do it there", l.Key, place))
	}
	return s.Holder.Hold(ctx, l.Run, func(ctx context.Context) error { return s.Records.Reset(ctx, l.Run, l.Destination, change) })
}

// Drop gives a dead request up. Its connection is turned away for good by the next resume of its run, which then can
// finish; its bytes go at once. pending reports whether there is such a run.
func (s *Letters) Drop(ctx context.Context, l dead.Letter) (pending bool, _ error) {
	rec, live, err := s.recordOf(ctx, &l)
	if err != nil {
		return false, err
	}
	if live && rec.State != pipeline.RecordFinished {
		err := s.decide(ctx, l, func(c *checkpoint.CommitRecord) { c.DropLetter(l.Number) })
		if err != nil {
			return false, err
		}
		pending = true
	}
	return pending, s.Dead.Remove(l.Key)
}

// Resend sends a dead request whose run has given way to another one at once, by the destination that the job has under
// its id now. One that was sent is no letter any more.
func (s *Letters) Resend(ctx context.Context, def *spec.Definition, l dead.Letter, resend bool) (*pipeline.Receipt, error) {
	if err := replayable(&l, resend); err != nil {
		return nil, err
	}
	if _, live, err := s.recordOf(ctx, &l); err != nil || live {
		return nil, errors.Join(err, pipeline.Permanent(fmt.Errorf("request %s: run %s can go on, and sends it: leave --superseded out", l.Key, l.Run)))
	}
	sink, kind, err := s.senderOf(def, &l)
	if err != nil {
		return nil, err
	}
	out, err := s.sendAlone(ctx, sink, kind, l)
	return out, errors.Join(err, sink.Close())
}

// senderOf makes the sink of a letter's destination, as the job has it now.
func (s *Letters) senderOf(def *spec.Definition, l *dead.Letter) (pipeline.Sink, *pipeline.SinkKind, error) {
	if def.Job.ID != l.Job {
		return nil, nil, pipeline.Permanent(fmt.Errorf("request %s is of job %s, not of %s", l.Key, l.Job, def.Job.ID))
	}
	paths, err := def.Resolve(l.Run, time.Now())
	if err != nil {
		return nil, nil, pipeline.Permanent(err)
	}
	m, err := pipeline.NewManifest(def.Job, l.Run, time.Now().UTC(), s.LogMaxBytes, nil, paths)
	if err != nil {
		return nil, nil, err
	}
	m.Birth = l.Birth
	d := m.Destination(l.Destination)
	if of := m.PartsOf(pipeline.WholeID(l.Destination)); d == nil && len(of) > 0 { // it has other partitions now, or none
		d = of[0]
	}
	if d == nil || d.Type != l.Type {
		return nil, nil, pipeline.Permanent(fmt.Errorf("job %s has no destination %s of type %s any more, which request %s is for", l.Job, l.Destination, l.Type, l.Key))
	}
	kind := s.Sinks[d.Type]
	if kind == nil || !kind.Traits.Requests {
		return nil, nil, pipeline.Permanent(fmt.Errorf("destination %s takes no requests", d.ID))
	}
	sink, err := pipeline.NewMasked(kind, pipeline.SinkSpec{Manifest: m, Destination: d, StoreID: s.StoreID, Log: s.Log, Expand: def.Expand})
	return sink, kind, err
}

// sendAlone sends one request from its letter's folder. It is noted as unknown before, so that one whose answer nobody
// has seen is not sent a third time unasked.
func (s *Letters) sendAlone(ctx context.Context, sink pipeline.Sink, kind *pipeline.SinkKind, l dead.Letter) (*pipeline.Receipt, error) {
	fence := pipeline.Fence{Token: pipeline.NewToken(), Epoch: l.Epoch, Birth: l.Birth, Folder: s.Dead.Path(l.Key), Grow: func(int64) {}}
	if _, err := sink.Recover(ctx, fence, nil, nil); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", l.Where, err)
	}
	before := l
	l.Unknown, l.Time, l.Error = true, time.Now().UTC(), "it was sent again, and no answer is known"
	if err := s.Dead.Update(l); err != nil {
		return nil, err
	}
	r := pipeline.WireRequest{Number: l.Number, Round: l.Round, Key: l.Key, File: dead.BodyName, Length: l.Length, SHA256: l.SHA256, Rows: l.Rows, Connection: pipeline.OfAll, Type: l.ContentType, Encoding: l.Encoding}
	out, err := sink.Release(ctx, []pipeline.WireRequest{r}, nil, true)
	if len(out.Receipts) > 0 {
		return &out.Receipts[0], s.Dead.Remove(l.Key)
	}
	if len(out.Letters) > 0 {
		a := out.Letters[0]
		l.Unknown, l.Status, l.Error, l.Answer, l.Time = a.Unknown, a.Status, a.Error, shortened(a.Answer), a.At
		return nil, errors.Join(s.Dead.Update(l), pipeline.Permanent(fmt.Errorf("%s has refused request %s: %s", l.Where, l.Key, a.Error)))
	}
	var trouble *pipeline.Trouble
	// It has not arrived.
	if slices.Contains(out.Unsent, l.Number) || errors.As(err, &trouble) && trouble.Scope == pipeline.OfTarget {
		return nil, errors.Join(fmt.Errorf("send request %s: %w", l.Key, err), s.Dead.Update(before))
	}
	if err == nil {
		err = fmt.Errorf("%s has not answered", kind.Name)
	}
	return nil, fmt.Errorf("send request %s: %w", l.Key, err)
}
