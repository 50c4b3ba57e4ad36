package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// maxStaleNames is how many files of earlier runs a line of the log names; each one's own report says it, too.
const maxStaleNames = 20

// newSplit makes the sink of a file per connection; single makes that of one file. The files of a dataset have the
// run's columns, others their own.
func newSplit(single func(pipeline.SinkSpec) (*fileSink, error), dataset bool, spec pipeline.SinkSpec) (pipeline.Sink, error) {
	if have, want := len(spec.Destination.Files), len(spec.Manifest.Connections); have != want {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %d files for %d connections", spec.Destination.ID, have, want))
	}
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	s := &splitSink{single: single, dataset: dataset, spec: spec, ground: groundOf(spec, dataset), live: map[int]*splitFile{}, done: map[int]splitDone{}}
	if len(spec.Manifest.Connections) > 0 {
		if _, err := s.newFile(0); err != nil { // what is wrong with one is wrong with all
			return nil, err
		}
	}
	return s, nil
}

// splitSink writes a file per connection: one log reader, one commit record, many artifacts. Each is written by a
// sink of its own, which knows a run of one connection, and is made when that connection's first attempt begins.
//
// A connection is alone in its file. So the file needs not wait for the end of the run to get its final form, and
// goes through these phases. Each begins with something durable in private, which a record then names, before
// anything public follows from it; that is the commit protocol of a single file, and each file's own folder fences a
// predecessor as it does there.
//
//	opened     the sink has recovered its file; parts are written. No record needs to know: without a recorded part or commit
//	           the next claim begins the file again. A part that is recorded carries the sink's state with it.
//	staged     Stage has appended the part. Once the record says so, Release makes it public,
//	finished   makes the final form in private, and, once the next record names that,
//	published  makes it public. The next record keeps no more of the file than its length and checksum,
//	done       and once it is written the private files go (R4). From then on the file is the user's.
//
// A crash in any phase leaves a record that names the phase before, or this one. The next claim goes on from there:
// what a record calls done was public before, and what it does not know of was never public.
//
// A lock or a part file is held open only while it is used or a part is being written, so that a thousand connections
// do not need a thousand handles. Different files are worked on side by side: most of the time goes by waiting for
// the disk.
type splitSink struct {
	single  func(pipeline.SinkSpec) (*fileSink, error) // makes the sink of one file
	dataset bool
	spec    pipeline.SinkSpec
	ground  *artifact.Artifact // has the nonce of the claim
	fence   pipeline.Fence
	live    map[int]*splitFile // by connection; none that is done
	done    map[int]splitDone
}

// open returns a connection's file, claimed. It gives up the lock right away: the folder it has made fences just as
// well.
func (s *splitSink) open(ctx context.Context, connection int) (*splitFile, error) {
	if f := s.live[connection]; f != nil {
		return f, nil
	}
	f, err := s.newFile(connection)
	if err != nil {
		return nil, err
	}
	if err = f.recover(ctx, s.fence, nil); err == nil {
		err = f.sink.release(ctx, nil, false) // removes what no record references
	}
	if err = errors.Join(err, f.sink.Close()); err != nil {
		return nil, err
	}
	s.live[connection] = f
	return f, nil
}

// in lists the files in a phase that a record names.
func (s *splitSink) in(phase splitPhase) (files []*splitFile) {
	for _, f := range s.live {
		if f.phase == phase && f.recorded == phase {
			files = append(files, f)
		}
	}
	return files
}

func (s *splitSink) Recover(ctx context.Context, fence pipeline.Fence, state pipeline.State, parts []pipeline.PartState) (pipeline.Recovered, error) {
	s.fence = fence
	st, err := readSplitState(state)
	if err != nil {
		return pipeline.Recovered{}, fmt.Errorf("recover %s: the recorded state cannot be read (%w): %w", s.spec.Destination.Path, err, pipeline.ErrLost)
	}
	own := map[int][]pipeline.PartState{}
	for _, p := range parts {
		ps, err := readSplitPart(p)
		if err != nil {
			return pipeline.Recovered{}, err
		}
		if _, known := st.Files[p.Connection]; !known { // it was opened after the last commit
			st.Files[p.Connection] = splitFileState{State: ps.File}
		}
		own[p.Connection] = append(own[p.Connection], narrowPart(p, ps))
	}
	if s.spec.Nonce != "" {
		if err := s.ground.LeaveNonce(); err != nil {
			return pipeline.Recovered{}, err
		}
	}
	s.done = st.Done
	for connection, recorded := range st.Files {
		f, err := s.newFile(connection)
		if err != nil {
			return pipeline.Recovered{}, err
		}
		f.state = recorded.State
		if recorded.Committed {
			f.phase = splitStaged
		}
		s.live[connection] = f
	}
	err = each(s.all(), func(f *splitFile) (err error) {
		if err = f.recover(ctx, fence, own[f.connection]); err != nil {
			return err
		}
		return f.sink.Close()
	})
	if err != nil {
		return pipeline.Recovered{}, err
	}
	s.lookAtDone()
	next, err := s.record()
	return pipeline.Recovered{State: next}, err
}

// all lists the files that are not done.
func (s *splitSink) all() (files []*splitFile) {
	for _, f := range s.live {
		files = append(files, f)
	}
	return files
}

// lookAtDone names the files that are no longer as they were delivered. Nobody repairs them: they are whoever changed
// them's.
func (s *splitSink) lookAtDone() {
	for connection, d := range s.done {
		path := s.spec.Destination.Files[connection]
		name := s.spec.Manifest.Connections[connection].Name
		switch info, err := os.Stat(path); {
		case errors.Is(err, os.ErrNotExist):
			s.spec.Log.Warn(fmt.Sprintf("%s was delivered whole and has been removed since; it stays away until a fresh run", path), "connection", name)
		case err == nil && d.Length > 0 && info.Size() != d.Length:
			s.spec.Log.Warn(fmt.Sprintf("%s was delivered whole and has been changed since; it stays as it is until a fresh run", path), "connection", name)
		}
	}
}

// Open turns the connection away where its own file is the trouble: the others have theirs.
func (s *splitSink) Open(ctx context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	f := s.live[id.Connection] // of a recorded part, Recover has made it
	if from == nil {
		var err error
		if f, err = s.open(ctx, id.Connection); pipeline.IsPermanent(err) || errors.Is(err, pipeline.ErrOnceMore) {
			return nil, &pipeline.RejectError{Reason: err.Error()}
		} else if err != nil {
			return nil, err
		}
	} else {
		ps, err := readSplitPart(*from)
		if err != nil {
			return nil, err
		}
		narrow := narrowPart(*from, ps)
		from = &narrow
	}
	part, err := f.sink.Open(ctx, pipeline.PartID{Attempt: id.Attempt}, o, from, rows)
	if err != nil {
		return nil, err
	}
	f.parts++
	return &splitPart{Part: part, file: f}, nil
}

// Stage brings each part into its own file. The parts are not needed again: a file has one commit, which nothing
// replaces before the file is done. At the end it makes the final form of the files that have none yet.
func (s *splitSink) Stage(ctx context.Context, parts []pipeline.Part, _ int, final *pipeline.Report) (pipeline.Staged, error) {
	if final != nil {
		if err := each(s.in(splitStaged), func(f *splitFile) error { return f.finish(ctx, final) }); err != nil {
			return pipeline.Staged{}, err
		}
		return s.staged()
	}
	own := map[*splitFile]pipeline.Part{}
	files := make([]*splitFile, len(parts))
	for i, p := range parts {
		part := p.(*splitPart)
		files[i], own[part.file] = part.file, part.Part
		part.file.parts--
	}
	err := each(files, func(f *splitFile) (err error) {
		if err = f.stage(ctx, []pipeline.Part{own[f]}, nil); err != nil {
			return err
		}
		f.phase = splitStaged
		return f.rest()
	})
	if err != nil {
		return pipeline.Staged{}, err
	}
	return s.staged()
}

func (s *splitSink) staged() (pipeline.Staged, error) {
	next, err := s.record()
	return pipeline.Staged{State: next}, err
}

// Release takes the files a phase further whose last one is recorded. At the end it insists on one file after the
// other, after each was tried once: that one is held open must not keep the others waiting.
func (s *splitSink) Release(ctx context.Context, _ []pipeline.WireRequest, r *pipeline.Report, insist bool) (pipeline.Released, error) {
	return pipeline.Released{}, s.release(ctx, r, insist)
}

func (s *splitSink) release(ctx context.Context, r *pipeline.Report, insist bool) error {
	if r == nil {
		s.ground.DropNonces()
		return each(s.all(), func(f *splitFile) error {
			if err := f.sink.release(ctx, nil, false); err != nil {
				return err
			}
			return f.rest()
		})
	}
	if err := s.advance(ctx, r); err != nil || !insist {
		return err
	}
	var errs []error
	for _, f := range s.in(splitFinished) {
		errs = append(errs, f.releaseFinal(ctx, r, true))
	}
	return errors.Join(errs...)
}

// advance takes each file one phase further.
func (s *splitSink) advance(ctx context.Context, r *pipeline.Report) error {
	if err := s.retire(); err != nil {
		return err
	}
	if err := each(s.in(splitFinished), func(f *splitFile) error { return f.releaseFinal(ctx, r, false) }); err != nil {
		return err
	}
	if err := each(s.in(splitStaged), func(f *splitFile) error {
		if err := f.sink.release(ctx, f.report(r, pipeline.RecordOpen), false); err != nil {
			return err
		}
		return f.finish(ctx, r)
	}); err != nil {
		return err
	}
	if r.State == pipeline.RecordFinished {
		s.reportMissing(ctx, r)
	}
	return nil
}

// reportMissing writes the reports of the files that are not made in this run, and names those that an earlier run
// has left in their place: nobody is to take yesterday's numbers for today's. They stay where they are: they are the
// last whole ones.
func (s *splitSink) reportMissing(ctx context.Context, r *pipeline.Report) {
	var files []*splitFile
	var stale []string
	for i := range s.spec.Manifest.Connections {
		if _, done := s.done[i]; done || s.live[i] != nil && s.live[i].phase > splitOpened {
			continue
		}
		age := s.age(i)
		if age != "" {
			stale = append(stale, fmt.Sprintf("%s (%s)", s.spec.Destination.Files[i], age))
		}
		f, err := s.open(ctx, i)
		if err != nil {
			s.spec.Log.Warn(fmt.Sprintf("no report was written beside %s", s.spec.Destination.Files[i]), "error", err)
			continue
		}
		f.age = age
		files = append(files, f)
	}
	s.warnStale(stale)
	_ = each(files, func(f *splitFile) error {
		own := f.report(r, r.State)
		if f.age != "" && len(own.Connections) == 1 {
			own.Connections = slices.Clone(own.Connections)
			own.Connections[0].Notes = append(slices.Clip(own.Connections[0].Notes), "the file holds nothing of this run: it was "+f.age)
		}
		if err := errors.Join(f.sink.release(ctx, own, false), f.rest()); err != nil {
			s.spec.Log.Warn(fmt.Sprintf("no report was written beside %s", s.spec.Destination.Files[f.connection]), "error", err)
		}
		return nil
	})
}

// age says when the file was last written that stands in a connection's place; "" if there is none.
func (s *splitSink) age(connection int) string {
	info, err := os.Stat(s.spec.Destination.Files[connection])
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	loc, err := s.spec.Manifest.Location()
	if err != nil {
		loc = time.UTC
	}
	return "last written " + info.ModTime().In(loc).Format("2006-01-02 15:04 MST")
}

// warnStale names the files that are not of this run.
func (s *splitSink) warnStale(stale []string) {
	if len(stale) == 0 {
		return
	}
	more := ""
	if len(stale) > maxStaleNames {
		stale, more = stale[:maxStaleNames], fmt.Sprintf(" and %d more", len(stale)-maxStaleNames)
	}
	s.spec.Log.Warn("these files hold nothing of this run, because their connections are missing from it; an earlier run has left them: " +
		strings.Join(stale, ", ") + more)
}

// retire gives up the private files of those that a record calls done.
func (s *splitSink) retire() error {
	files := s.in(splitPublished)
	for _, f := range files {
		delete(s.live, f.connection)
	}
	return each(files, func(f *splitFile) error {
		if err := f.sink.artifact.Retire(); err != nil { // the end of the run tries again
			s.spec.Log.Debug("private files were left behind", "connection", f.connection, "error", err)
		}
		return f.sink.Close()
	})
}

func (s *splitSink) Close() error {
	var errs []error
	for _, f := range s.live {
		errs = append(errs, f.sink.Close())
	}
	return errors.Join(errs...)
}
