package coordinate

import (
	"context"
	"errors"
	"fmt"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// Whether the worker of a connection is gone is judged by the coordinator of the run alone: by who takes a run over,
// whose owner went without a word, and while the run goes on by its supervisor. Both look for an eof in the row log
// first: a worker may have ended between that and its record. A worker that only slept finds its record changed, and
// its frames refused.

// judgeGone judges the connections that a worker has taken and that nobody asks. A worker of this process lives as long
// as it carries its command out. One that gave that up could not write its record, say, which is no death. A worker of
// another process lives as long as that does.
func (s *supervisor) judgeGone(ctx context.Context) error {
	if s.stopping {
		return nil
	}
	judged := false
	for id, doc := range s.running {
		if !s.queue.out[id] {
			continue
		}
		gone, err := s.workerGone(ctx, id, doc.Value().Owner)
		if err == nil && !gone {
			continue
		}
		rec := doc.Value()
		if err == nil {
			rec, err = s.judge(ctx, id, doc)
		}
		switch {
		case errors.Is(err, pipeline.ErrForeign), pipeline.IsPermanent(err):
			return err
		case errors.Is(err, pipeline.ErrConflict): // somebody has written it meanwhile, and it is seen soon
		case err != nil:
			s.c.Log.Warn(fmt.Sprintf("whether somebody asks connection %s could not be looked up or written down; trying again", id), "error", err)
			continue
		case rec.State == checkpoint.ConnPending:
			s.queue.again(id, rec.Suspicion())
			judged = true
		}
		delete(s.running, id)
	}
	if judged {
		return s.ask()
	}
	return nil
}

// workerGone reports whether nobody asks a connection that a process of this token has taken. Where this process has
// lost its lease its own workers end over that, before the run does here: that is for others to judge.
func (s *supervisor) workerGone(ctx context.Context, id, token string) (bool, error) {
	if token == s.c.Owner.Token || s.c.Peers == nil {
		return !s.share.Asks(id) && !s.c.Lease.Dead(), nil
	}
	return s.c.Peers.Gone(ctx, token)
}

// judge changes the record of a connection whose worker is gone: it is done, to be asked again, or given up.
func (s *supervisor) judge(ctx context.Context, id string, doc *checkpoint.Document[checkpoint.ConnRecord]) (checkpoint.ConnRecord, error) {
	rec := doc.Value()
	last, err := s.run.log.LastFrame(ctx, id, rec.Attempt)
	if err != nil {
		return rec, fmt.Errorf("look for the rows of %s: %w", id, err)
	}
	if delivered(last, rec.Floor) {
		rec.Found()
		return rec, doc.Write(ctx, rec)
	}
	var records []checkpoint.CommitRecord
	for _, r := range s.records {
		records = append(records, r)
	}
	died := rec.Owner != s.c.Owner.Token && (s.c.Peers == nil || s.c.Peers.Life(rec.Owner) != checkpoint.LifeReleased)
	rec.Judge(died, reached(records, s.m.Index(id), rec.Attempt, last))
	if err := doc.Write(ctx, rec); err != nil {
		return rec, err
	}
	if died {
		s.c.Log.Warn(death(id, rec))
	}
	return rec, nil
}

// delivered reports whether the newest frame of a connection is an eof that counts.
func delivered(last *pipeline.Frame, floor int) bool {
	return last != nil && last.Kind == pipeline.FrameEOF && last.Attempt >= floor
}

// reached is the number of the last frame of rows that an attempt has stored, as far as it is known: by last, the
// connection's newest frame that is left in the row log, and by the destinations that have read it.
func reached(records []checkpoint.CommitRecord, connection, attempt int, last *pipeline.Frame) (frame uint64) {
	if last != nil && last.Attempt == attempt && last.Kind == pipeline.FrameRows {
		frame = last.Number
	}
	for _, r := range records {
		for _, p := range r.Parts {
			if p.Connection == connection && p.Attempt == attempt {
				frame = max(frame, p.Frame)
			}
		}
	}
	return frame
}

// death tells that a worker died.
func death(id string, rec checkpoint.ConnRecord) string {
	text := fmt.Sprintf("%s was gone while it asked connection %s", rec.Deaths[len(rec.Deaths)-1], id)
	switch {
	case rec.Deadly():
		return text + fmt.Sprintf(", as %d before it at the same place; the connection is given up", len(rec.Deaths)-1)
	case rec.Suspicion() == checkpoint.AskedAlone:
		return text + fmt.Sprintf(", as %d before it at the same place; the connection is asked again, alone", len(rec.Deaths)-1)
	}
	return text + "; the connection is asked again"
}
