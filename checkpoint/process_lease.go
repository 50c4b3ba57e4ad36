package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"fanmill/pipeline"
)

// ErrDead is a process that another one has taken for dead: it has stood still for a lease, and nothing that it had
// in hand is its own any more.
var ErrDead = errors.New("another process has taken this one for dead, as it gave no sign of life for its lease")

// changePause is how long after a write of the record the next one waits that is no renewal: many changes are one
// write.
const changePause = time.Second

// Lease is a process's own lease. A goroutine renews it that waits for nothing else in the process. It is safe for
// concurrent use.
type Lease struct {
	doc   *Document[ProcessRecord] // of the goroutine; when that has ended, of Release
	lease time.Duration
	log   *slog.Logger
	stop  context.CancelFunc
	done  chan struct{} // the goroutine has ended
	lost  chan struct{}
	wake  chan struct{} // holds a token when there is something to say

	mu   sync.Mutex
	says ProcessRecord
	sure time.Time // when the last renewal began that was stored
}

// Keep begins the lease of a process, or begins it again after its Release, and keeps it until the next one. The
// record is durable when Keep returns. The error is ErrDead where the process was declared dead.
func Keep(ctx context.Context, runs pipeline.KV, rec ProcessRecord, log *slog.Logger) (*Lease, error) {
	began := time.Now()
	doc, err := CreateDocument(ctx, runs, ProcessKey(rec.Owner.Token), rec)
	if errors.Is(err, pipeline.ErrConflict) {
		if err = doc.Reload(ctx); err == nil && doc.value.Dead != nil {
			err = pipeline.Permanent(pipeline.OfKind(pipeline.ErrFenced, ErrDead))
		} else if err == nil {
			err = doc.Write(ctx, rec)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("mark this process as alive in the store: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lease{doc: doc, lease: time.Duration(rec.Owner.LeaseMS) * time.Millisecond, log: log, stop: stop, done: make(chan struct{}), lost: make(chan struct{}),
		wake: make(chan struct{}, 1), says: rec, sure: began}
	go l.keep(life)
	return l, nil
}

// Lost is closed when another process has declared this one dead. Everything that the process has in hand is to end
// at once, and records nothing. A store that does not answer, and a record that somebody has deleted, lose no lease.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Dead reports whether the lease is lost. That of a process that takes no work, which has none, is nil.
func (l *Lease) Dead() bool {
	if l == nil {
		return false
	}
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

// Unsure reports whether the lease was not renewed for two thirds of it: others may soon find the process dead. Until
// it is sure again the process begins nothing. What it has in hand it keeps.
func (l *Lease) Unsure() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.sure) > l.lease*2/3
}

// Record is what the process says of itself, and whether somebody wants it to take nothing more.
func (l *Lease) Record() ProcessRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.says
}

// Change changes what the record says. It is written within a second, or as soon as the store answers, and together
// with all else that changes until then. f is not to keep what it is given.
func (l *Lease) Change(f func(*ProcessRecord)) {
	l.mu.Lock()
	f(&l.says)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Release ends the lease in order: the process has nothing in hand any more, or gives it to whoever wants it, who
// need not wait. The record stays for that to be seen, and is removed after a day. The Lease is not to be used again.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	<-l.done
	select {
	case <-l.lost:
		return nil
	default:
	}
	l.mu.Lock()
	l.says.Release(time.Now())
	l.mu.Unlock()
	if err := l.write(ctx); err != nil && !errors.Is(err, pipeline.ErrFenced) {
		return fmt.Errorf("end this process's lease; it lapses in %s: %w", l.lease, err)
	}
	return nil
}

// keep renews the lease until ctx ends, or it is lost.
func (l *Lease) keep(ctx context.Context) {
	defer close(l.done)
	third := max(l.lease/3, time.Millisecond)
	wrote := time.Now()
	next := time.NewTimer(third)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
			next.Reset(time.Until(wrote.Add(min(changePause, third))))
			continue
		case <-next.C:
		}
		began := time.Now()
		err := l.write(ctx)
		switch {
		case errors.Is(err, pipeline.ErrFenced):
			l.log.Error(fmt.Sprintf("%v; what it had in hand is dropped", ErrDead))
			close(l.lost)
			return
		case err != nil && ctx.Err() == nil:
			l.log.Debug("the lease of the process could not be renewed; trying again", "error", err)
			next.Reset(min(changePause, third))
		default:
			l.renewed(began)
			wrote = time.Now()
			next.Reset(max(time.Until(began.Add(third)), third/4)) // a write may take a good part of it over a slow network
		}
	}
}

// renewed notes a renewal that began at a time.
func (l *Lease) renewed(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sure = began
	l.says.Draining = l.says.Draining || l.doc.value.Draining
}

// write renews the record. Others may write into it and end nothing by that; only who declares the process dead does,
// which is ErrFenced. A record that is gone, or that nobody can read, says nothing of that, and is written anew.
func (l *Lease) write(ctx context.Context) error {
	alive := func(r *ProcessRecord) bool { return r.Dead == nil }
	for {
		err := l.doc.Change(ctx, alive, func(r *ProcessRecord) { r.says(l.Record()) })
		if !errors.Is(err, pipeline.ErrForeign) {
			return err
		}
		err = l.doc.Overwrite(ctx, l.Record())
		if !errors.Is(err, pipeline.ErrConflict) || errors.Is(err, pipeline.ErrForeign) {
			return err
		}
		if err := l.doc.Reload(ctx); err != nil { // somebody was faster
			return err
		}
		if rec := l.doc.Value(); !alive(&rec) {
			return pipeline.Permanent(fmt.Errorf("write %s: %w", l.doc.key, pipeline.ErrFenced))
		}
	}
}
