package spool

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
)

// Space bounds what spools take on their disk: those of this process, and with Look those of all that share a folder.
// Who wants more waits, and with it the queries behind the row log that it reads.
type Space struct {
	Max     int64                 // bytes of all spools; 0 is no limit
	Reserve int64                 // bytes that stay free on the disk, for the store and for others; 0 is none
	Look    func() int64          // how many bytes lie there, of whatever process; nil is to count one's own alone
	Free    func() (int64, error) // how many bytes the disk has left; nil is not to look
	Waits   func(why string)      // is told, once a wait, what it is for; may be nil
	Again   time.Duration         // how often a disk, or a spool, without room is looked at; 0 is a second

	mu     sync.Mutex
	used   int64
	unseen int64         // bytes taken since the disk was looked at
	added  int64         // bytes taken since the last Look
	looked time.Time     // when that was
	given  chan struct{} // closed when bytes were given back
}

// lookBytes is how many bytes are taken before the disk is looked at again.
const lookBytes = 32 << 20

// Used is how many bytes the spools have.
func (s *Space) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// Take waits for n bytes.
func (s *Space) Take(ctx context.Context, n int64) error {
	told := false
	for {
		why, given := s.try(n)
		if why == "" {
			return nil
		}
		if !told && s.Waits != nil {
			s.Waits(why)
		}
		told = true
		timer := time.NewTimer(cmp.Or(s.Again, time.Second))
		select {
		case <-given:
		case <-timer.C: // the disk may have room by now
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// Room reports whether n bytes would be given at once.
func (s *Space) Room(n int64) bool {
	why, _ := s.try(n)
	if why == "" {
		s.Give(n)
	}
	return why == ""
}

// try takes n bytes, or says why it cannot. A single block larger than the limit is let through when nothing else is
// there: it would wait for ever.
func (s *Space) try(n int64) (why string, given <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.given == nil {
		s.given = make(chan struct{})
	}
	s.look(n)
	if s.Max > 0 && s.used > 0 && s.used+n > s.Max {
		return fmt.Sprintf("rows and requests that wait have %d MB of the %d MB that FANMILL_SPOOL_MAX_MB allows", s.used>>20, s.Max>>20), s.given
	}
	if s.Free != nil && (s.used == 0 || s.unseen+n >= lookBytes) {
		s.unseen = 0
		if free, err := s.Free(); err == nil && free-n < s.Reserve {
			s.unseen = lookBytes // and again the next time
			return fmt.Sprintf("the disk of the spool has %d MB left, and %d MB stay free for others", free>>20, s.Reserve>>20), s.given
		}
	}
	s.unseen += n
	s.added += n
	s.used += n
	return "", nil
}

// look counts what lies there, before n bytes are taken, if others may have brought or taken much since the last time:
// each process goes beyond the limit by no more than it takes between two looks. What was taken and is not written yet
// is not seen; that is a block for each connection.
func (s *Space) look(n int64) {
	if s.Max <= 0 || s.Look == nil {
		return
	}
	full := s.used+n > s.Max && time.Since(s.looked) >= cmp.Or(s.Again, time.Second)
	if full || s.looked.IsZero() || s.added+n >= min(lookBytes, s.Max/8) {
		s.used, s.added, s.looked = s.Look(), 0, time.Now()
	}
}

// Force counts n bytes that are there already; a negative n those that are gone.
func (s *Space) Force(n int64) {
	if n < 0 {
		s.Give(-n)
		return
	}
	s.mu.Lock()
	s.used += n
	s.mu.Unlock()
}

// Give gives n bytes back.
func (s *Space) Give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = max(0, s.used-n)
	if s.given != nil {
		close(s.given)
		s.given = nil
	}
}
