package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks/artifact"
)

// fileKind registers a kind of destination that is a file. make makes its format for a file of one run.
func fileKind(kind pipeline.SinkKind, make func(f *file) (fileFormat, error)) {
	check := kind.Check
	if kind.Modes == nil {
		kind.Modes = []string{"replace", "append"}
	}
	kind.Check = func(d *pipeline.Destination) error {
		var err error
		if strings.TrimSpace(d.FilePath) == "" {
			err = problem{"filePath", fmt.Errorf("filePath is missing: give the path of the file, such as %s", kind.Example)}
		}
		if d.Mode != "" && !slices.Contains(kind.Modes, d.Mode) {
			err = errors.Join(err, problem{"mode", fmt.Errorf("mode %q is not known; use \"%s\"", d.Mode, strings.Join(kind.Modes, "\" or \""))})
		}
		return errors.Join(err, check(d))
	}
	kind.New = func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
		if spec.Destination.Files == nil {
			return newFileSink(spec, false, make)
		}
		dataset := kind.Traits.Dataset
		single := func(spec pipeline.SinkSpec) (*fileSink, error) { return newFileSink(spec, dataset, make) }
		return newSplit(single, dataset, spec)
	}
	kind.Clean = func(_ context.Context, spec pipeline.SinkSpec, keepPrevious bool) ([]string, error) {
		return cleanFiles(spec, kind.Traits.Dataset && spec.Destination.Files != nil, keepPrevious)
	}
	kind.HasNonce = func(spec pipeline.SinkSpec, nonce string) (bool, error) {
		return groundOf(spec, kind.Traits.Dataset).HasNonce(nonce)
	}
	registered = append(registered, kind)
}

// file is what a format knows of the file that it writes.
type file struct {
	manifest *pipeline.Manifest
	dest     *pipeline.ManifestDestination
	location *time.Location // the job's time zone
	artifact *artifact.Artifact
	last     *pipeline.Report // of the last Release; nil before
	log      *slog.Logger
}

// takes reports whether the file has rows of the query.
func (f *file) takes(query int) bool { return f.dest.Query == nil || *f.dest.Query == query }

// oneQuery is the query whose rows the file takes, of a format that takes one.
func (f *file) oneQuery() (int, error) {
	if f.dest.Query != nil {
		return *f.dest.Query, nil
	}
	for _, c := range f.manifest.Connections {
		if len(c.Queries) > 1 {
			return 0, fmt.Errorf("a %s file takes the rows of one query, and connection %s has %d; name the one it takes", f.dest.Type, c.ID, len(c.Queries))
		}
	}
	return 0, nil
}

// committed is where the bytes of a state are, after the claim that gave it.
func (f *file) committed(st artifact.State) string {
	public := f.artifact.Path()
	return filepath.Join(filepath.Dir(public), ".fanmill", filepath.Base(public), st.Dir, st.Which)
}

// partName names the file of a part's query.
func (f *file) partName(id pipeline.PartID, query int) string {
	return artifact.PartName(id.Connection, f.manifest.Connections[id.Connection].ID, query, id.Attempt)
}

// fileFormat is how one kind of file is written: what sets it apart from others. fileSink calls it and does the rest:
// what is private, durable and public is decided there.
type fileFormat interface {
	// restore takes up what record gave the last time, nil at a run's beginning, before the private files are claimed.
	restore(state json.RawMessage) error
	// inspect looks whether rows can follow what mode "append" finds. A pipeline.Permanent error refuses it.
	inspect(r io.ReaderAt, size int64) error
	// recovered looks into the committed bytes, if the format needs to know them. They are those of st.
	recovered(st artifact.State) error
	// record is what the commit record keeps for restore, beside what the artifact does.
	record() any
	// partFiles are the files of a recorded part.
	partFiles(p pipeline.PartState) ([]artifact.FileState, error)
	// open begins a part, or continues one at what from says. rows are the part's, of a format that takes its rows from
	// the spool.
	open(id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error)
	// assemble writes finished parts behind the committed bytes. What it returns may be written a second time, and
	// writes the same bytes then.
	assemble(ctx context.Context, parts []pipeline.Part) (*assembly, error)
	// layout says how the kind's Count finds the rows of what is committed.
	layout() any
	// final writes the artifact's last form from its committed bytes; nil if those are it.
	final(r *pipeline.Report) func(w io.Writer, committed io.ReaderAt, length int64) error
}

// assembly is what a commit adds to a file.
type assembly struct {
	write  func(io.Writer) error
	files  []*artifact.Part // that write reads
	staged func()           // what the format notes once the bytes are durable; may be nil
}

// fileSink writes one file. It is what all formats have in common: the state in the record, the order of steps,
// contexts.
type fileSink struct {
	file
	format fileFormat
}

// fileState is a file's part of the commit record.
type fileState struct {
	Artifact artifact.State  `json:"artifact"`
	Format   json.RawMessage `json:"format,omitempty"`
}

// newFileSink makes the sink of one file. dataset says that readers take the files of its folder for one table.
func newFileSink(spec pipeline.SinkSpec, dataset bool, make func(f *file) (fileFormat, error)) (*fileSink, error) {
	loc, err := spec.Manifest.Location()
	if err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: time zone %q: %w", spec.Destination.ID, spec.Manifest.TimeZone, err))
	}
	if spec.Log == nil {
		spec.Log = slog.New(slog.DiscardHandler)
	}
	s := &fileSink{file: file{manifest: spec.Manifest, dest: spec.Destination, location: loc, log: spec.Log}}
	asked := artifactSpec(spec, dataset)
	asked.Inspect = func(r io.ReaderAt, size int64) error { return s.format.inspect(r, size) }
	s.artifact = artifact.New(asked)
	if s.format, err = make(&s.file); err != nil {
		return nil, pipeline.Permanent(fmt.Errorf("destination %s: %w", spec.Destination.ID, err))
	}
	return s, nil
}

// artifactSpec is the artifact that a sink's specification asks for.
func artifactSpec(spec pipeline.SinkSpec, dataset bool) artifact.Spec {
	return artifact.Spec{Path: spec.Destination.Path, Mode: spec.Destination.Mode, StoreID: spec.StoreID, Job: spec.Manifest.JobID,
		Destination: spec.Destination.ID, Run: spec.Manifest.Run, Home: spec.Home, Nonce: spec.Nonce, Earlier: spec.Manifest.Earlier, Log: spec.Log, Dataset: dataset}
}

func (s *fileSink) Recover(ctx context.Context, f pipeline.Fence, state pipeline.State, parts []pipeline.PartState) (pipeline.Recovered, error) {
	var old *artifact.State
	var own json.RawMessage
	if len(state) > 0 {
		var st fileState
		if err := json.Unmarshal(state, &st); err != nil {
			return pipeline.Recovered{}, unreadable("state of "+s.dest.Path, err)
		}
		old, own = &st.Artifact, st.Format
	}
	if err := s.format.restore(own); err != nil {
		return pipeline.Recovered{}, unreadable("state of "+s.dest.Path, err)
	}
	var files []artifact.FileState
	for _, p := range parts {
		more, err := s.format.partFiles(p)
		if err != nil {
			return pipeline.Recovered{}, unreadable(fmt.Sprintf("part of connection %d", p.Connection), err)
		}
		files = append(files, more...)
	}
	st, err := s.artifact.Claim(ctx, f.Token, old, files)
	if err != nil {
		return pipeline.Recovered{}, err
	}
	if err := s.format.recovered(st); err != nil {
		return pipeline.Recovered{}, err
	}
	next, err := s.state(st)
	return pipeline.Recovered{State: next}, err
}

// unreadable is the error of what a record holds and nobody can read: it counts as lost, and is delivered anew.
func unreadable(what string, err error) error {
	return fmt.Errorf("the recorded %s cannot be read (%w): %w", what, err, pipeline.ErrLost)
}

func (s *fileSink) state(st artifact.State) (pipeline.State, error) {
	own, err := json.Marshal(s.format.record())
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	return json.Marshal(fileState{st, own})
}

func (s *fileSink) Open(ctx context.Context, id pipeline.PartID, o *pipeline.Opening, from *pipeline.PartState, rows pipeline.Rows) (pipeline.Part, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.format.open(id, o, from, rows)
}

func (s *fileSink) Stage(ctx context.Context, parts []pipeline.Part, _ int, final *pipeline.Report) (pipeline.Staged, error) {
	var st artifact.State
	if final != nil {
		write := s.format.final(final)
		if last := write; last != nil {
			write = func(w io.Writer, committed io.ReaderAt, length int64) error {
				return last(whileIn(ctx, w), committed, length)
			}
		}
		var err error
		if st, err = s.artifact.Finish(write); err != nil {
			return pipeline.Staged{}, err
		}
		return s.staged(st)
	}
	a, err := s.format.assemble(ctx, parts)
	if err != nil {
		return pipeline.Staged{}, err
	}
	if st, err = s.artifact.Append(func(w io.Writer) error { return a.write(whileIn(ctx, w)) }, a.files...); err != nil {
		return pipeline.Staged{}, err
	}
	if a.staged != nil {
		a.staged()
	}
	return s.staged(st)
}

func (s *fileSink) staged(st artifact.State) (pipeline.Staged, error) {
	next, err := s.state(st)
	return pipeline.Staged{State: next}, err
}

func (s *fileSink) Release(ctx context.Context, _ []pipeline.WireRequest, r *pipeline.Report, insist bool) (pipeline.Released, error) {
	return pipeline.Released{}, s.release(ctx, r, insist)
}

func (s *fileSink) release(ctx context.Context, r *pipeline.Report, insist bool) error {
	if r == nil {
		return s.artifact.Adopted(ctx)
	}
	s.last = r
	own, err := s.reported(r)
	if err != nil {
		return err
	}
	if s.artifact.State().Final == nil {
		return s.artifact.Publish(ctx, own)
	}
	_, err = s.artifact.PublishFinal(ctx, own, insist)
	return err
}

// reported is what stands beside the file: of its query, and with its layout.
func (s *fileSink) reported(r *pipeline.Report) (*pipeline.Report, error) {
	layout, err := json.Marshal(s.format.layout())
	if err != nil {
		return nil, pipeline.Permanent(err)
	}
	own := *ofQuery(r, s.manifest, s.dest.Query)
	own.Format = &pipeline.ReportFormat{Type: s.dest.Type, Layout: layout}
	return &own, nil
}

func (s *fileSink) Close() error { return s.artifact.Close() }

// cleanFiles removes what is private of a destination's file, or files, and returns whose claims were there.
func cleanFiles(spec pipeline.SinkSpec, dataset, keepPrevious bool) (homes []string, _ error) {
	if spec.Destination.Files == nil {
		a := artifact.New(artifactSpec(spec, dataset))
		homes, err := a.Clean(keepPrevious)
		return homes, errors.Join(err, a.Close())
	}
	if err := groundOf(spec, dataset).CleanNonces(); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	all := make([]int, len(spec.Destination.Files))
	for i := range all {
		all[i] = i
	}
	err := each(all, func(i int) error {
		file, one := spec, *spec.Destination
		one.Path, one.Files = spec.Destination.Files[i], nil
		file.Destination = &one
		seen, err := cleanFiles(file, dataset, keepPrevious)
		mu.Lock()
		defer mu.Unlock()
		homes = append(homes, seen...)
		return err
	})
	return homes, err
}

// whileIn is w until ctx ends.
func whileIn(ctx context.Context, w io.Writer) io.Writer { return ctxWriter{ctx, w} }

type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w ctxWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
