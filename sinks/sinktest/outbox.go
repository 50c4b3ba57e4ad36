package sinktest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"fanmill/pipeline"
)

// outbox is what a spooled destination has staged, and what became of it, as pipeline/outbox.go keeps it.
type outbox struct {
	Requests []pipeline.WireRequest
	Answered map[int]bool   // by number: receipts
	Dead     map[int]string // by number: letters
	Stagings []staging
}

type staging struct {
	Round     int
	Final     bool
	Allocated []int
	Keep      []string
}

// pending are the next requests without an answer. One that closes its round waits for all before it.
func (o *outbox) pending(n int) (next []pipeline.WireRequest) {
	for _, r := range o.Requests {
		switch {
		case o.Answered[r.Number] || o.Dead[r.Number] != "":
			continue
		case len(next) == n, r.Closing && len(next) > 0:
			return next
		}
		next = append(next, r)
	}
	return next
}

func (o *outbox) allocated(round int) (all []int) {
	for _, s := range o.Stagings {
		if round == 0 || s.Round == round {
			all = append(all, s.Allocated...)
		}
	}
	return all
}

// finals is the last round whose final was staged.
func (o *outbox) finals() (round int) {
	for _, s := range o.Stagings {
		if s.Final {
			round = max(round, s.Round)
		}
	}
	return round
}

// done are the connections of which every request has a receipt.
func (o *outbox) done() (all []int) {
	for _, i := range o.allocated(0) {
		waits := slices.ContainsFunc(o.Requests, func(r pipeline.WireRequest) bool {
			return !r.Closing && !o.Answered[r.Number] && (r.Connection == i || r.Connection == pipeline.OfAll && slices.Contains(o.allocated(r.Round), i))
		})
		if !waits {
			all = append(all, i)
		}
	}
	return all
}

// files are the names that the next claim's folder has, too.
func (o *outbox) files() map[string]bool {
	names := map[string]bool{}
	for _, r := range o.Requests {
		if !o.Answered[r.Number] {
			names[r.File] = true
		}
	}
	var keep []string
	for _, s := range o.Stagings {
		if len(s.Keep) > 0 {
			keep = s.Keep
		}
	}
	for _, name := range keep {
		names[name] = true
	}
	return names
}

// intact checks that a request's bytes are what was staged.
func (l *loop) intact(r pipeline.WireRequest) error {
	f, err := os.Open(filepath.Join(l.folder, r.File))
	if err != nil {
		return fmt.Errorf("request %d: %w", r.Number, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, r.Offset, r.Length))
	if err != nil || n != r.Length || hex.EncodeToString(h.Sum(nil)) != r.SHA256 {
		return fmt.Errorf("the bytes of request %d are not those that were staged (%d of %d, %v)", r.Number, n, r.Length, err)
	}
	return nil
}

// number gives the requests of a staging their numbers and keys.
func (l *loop) number(requests []pipeline.WireRequest) error {
	for i := range requests {
		r := &requests[i]
		r.Number, r.Round = len(l.record.Outbox.Requests)+i+1, l.round
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d/%s", l.spec.Manifest.Birth, r.Round, r.Number, r.SHA256))
		r.Key = hex.EncodeToString(sum[:16])
		if r.File == "" || filepath.Base(r.File) != r.File {
			return fmt.Errorf("request %d has the file %q", r.Number, r.File)
		}
		if err := l.intact(*r); err != nil {
			return err
		}
	}
	return nil
}

// folders is where the claims of a spooled destination have theirs.
func (w *world) folders() string { return filepath.Join(w.root, "spool") }

// takeFolder makes the claim's folder, with what the record names of the last one and nothing else.
func (l *loop) takeFolder() error {
	l.folder = filepath.Join(l.folders(), fmt.Sprint(l.record.Epoch))
	if err := os.MkdirAll(l.folder, 0o777); err != nil {
		return err
	}
	for name := range l.record.Outbox.files() {
		found := false
		for epoch := l.record.Epoch - 1; epoch > 0 && !found; epoch-- {
			text, err := os.ReadFile(filepath.Join(l.folders(), fmt.Sprint(epoch), name))
			if err == nil {
				found = true
				err = os.WriteFile(filepath.Join(l.folder, name), text, 0o666)
			}
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		if !found {
			return fmt.Errorf("%s is gone from the claim's folder, and the record needs it", name)
		}
	}
	return nil
}

// sweepFolders removes those of earlier claims, which no record names any more.
func (l *loop) sweepFolders() {
	for epoch := range l.record.Epoch {
		if err := os.RemoveAll(filepath.Join(l.folders(), fmt.Sprint(epoch))); err != nil {
			l.t.Log(err)
		}
	}
}

// dropAnswered removes what no request needs any more.
func (l *loop) dropAnswered() {
	needed := l.record.Outbox.files()
	for _, r := range l.record.Outbox.Requests {
		if !needed[r.File] {
			_ = os.Remove(filepath.Join(l.folder, r.File))
		}
	}
}
