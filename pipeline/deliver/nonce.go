package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// A path says nothing of whose disk is behind it. So each claim leaves a nonce beside the files, and the commit record
// has it: the claim's compare-and-set writes it as the next one, then the file is made and synced, and the first commit
// of the claim promotes it. A crash between any two of these leaves one of the two that the record has:
//
//  1. The record names the next. A crash here leaves the file of the one before, or none if there was none.
//  2. The file is there, beside that of the one before.
//  3. The record has promoted it. A crash here leaves both files; the next claim removes what is not its own.
//
// Who does not win the claim has left nothing, so nobody is locked out by that. At the home of the last claim a nonce
// that is gone says that somebody has emptied the folder, or put an older one in its place: it is said, and the bytes
// are compared with the record, as they always are. Anywhere else it says that the files are elsewhere. A nonce that is
// there may be a copy's; so another home must have seen, too, that one came there while others had the files. But who
// starts fanmill run on a host says by that that the files there are the run's: a container may have another name each
// time.

// sight is the look at a destination's place before its claim.
type sight struct {
	kind   *pipeline.SinkKind
	spec   pipeline.SinkSpec // of the claim
	places *Places
	alone  bool // no other process takes the command, or a person says that the files are here
	said   bool // that the nonce is gone
	log    *slog.Logger
}

// look implements checkpoint.Look. It changes nothing.
func (s *sight) look(rec *checkpoint.CommitRecord) (prepare func(*checkpoint.CommitRecord), _ error) {
	d := s.spec.Destination
	bytes, away := len(rec.Artifact) > 0, rec.Home != "" && rec.Home != s.places.Home
	if away && rec.Place != nil && !s.alone {
		return nil, elsewhere(d, "waiting for %s: the rows are on its disk", pipeline.HostOf(rec.Home))
	}
	if s.kind == nil || s.kind.HasNonce == nil {
		return nil, nil
	}
	found, err := s.found(rec)
	switch {
	case !bytes: // whoever claims it first has them
	case away && err != nil:
		return nil, elsewhere(d, "waiting for %s: %s, which has its files, cannot be looked at here: %v", pipeline.HostOf(rec.Home), d.Where(), err)
	case away && found == "":
		return nil, elsewhere(d, "waiting for %s: what it left beside %s is not on this host", pipeline.HostOf(rec.Home), d.Where())
	case away && !s.alone && !s.places.shares(d.Place, rec.Home):
		return nil, elsewhere(d, "waiting for %s: %s may be a copy of what it has; if these are the files, fanmill place adopt %s says so", pipeline.HostOf(rec.Home), d.Where(), s.spec.Manifest.JobID)
	case err != nil:
		return nil, err
	case found == "" && rec.Nonce+rec.Next != "" && !s.said:
		s.said = true
		s.log.Warn(fmt.Sprintf("what the last claim left beside %s is gone: somebody has emptied the folder, or put an older one in its place. What is there is compared with what was delivered", d.Where()))
	}
	next := s.spec.Nonce
	return func(r *checkpoint.CommitRecord) { r.Leave(found, next) }, nil
}

// notePlace tells others that offer a folder of the same name what was left there.
func (v *delivery) notePlace(ctx context.Context) {
	rec := v.claim.Record()
	if v.dest.Place == "" || rec.Nonce == "" {
		return
	}
	err := checkpoint.NotePlace(ctx, v.d.Runs, checkpoint.PlaceNote{Run: v.m.Run, Destination: v.dest.ID, Place: v.dest.Place, Home: rec.Home, Nonce: rec.Nonce})
	if err != nil {
		v.log.Warn("other hosts do not hear where the files are written; none goes on with them should this process die", "error", err)
	}
}

// found is the later one of the record's nonces that is there; "" if none is.
func (s *sight) found(rec *checkpoint.CommitRecord) (string, error) {
	var errs []error
	for _, nonce := range []string{rec.Next, rec.Nonce} {
		if nonce == "" {
			continue
		}
		here, err := s.kind.HasNonce(s.spec, nonce)
		if here {
			return nonce, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
