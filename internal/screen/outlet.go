package screen

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Outlet is one of the program's own outputs. A Write to it never fails, and waits only so long for a reader that has
// stopped reading: a pipe that nobody empties, a terminal whose user has pressed Ctrl-S or selects text. So nothing
// that is shown, or cannot be, stops what it tells of. Its methods may be called from several goroutines.
type Outlet struct {
	to       io.Writer
	keep     int           // bytes that wait for a reader who has stopped; lines beyond them are left out. 0 is for a result, see NewResult
	patience time.Duration // how long a Write waits while nothing is taken; 0 is for ever
	hurry    <-chan struct{}

	mu      sync.Mutex
	waiting []byte
	given   int64 // bytes ever put into waiting, and those taken out again
	taken   int64
	moved   chan struct{} // closed, and made anew, whenever bytes were taken
	busy    bool          // a goroutine takes bytes out
	stalled bool
	full    bool
	lost    int // lines
	err     error
}

const (
	// logPatience is how long a run is held up by a reader who has stopped reading its log lines, once.
	logPatience = time.Second
	// logKeep is how many bytes of lines such a reader still gets when he goes on.
	logKeep = 1 << 20
	// hurryPatience is what is left to a result when the program is to end.
	hurryPatience = 5 * time.Second
	// outletChunk bounds one write, so that a slow reader is seen to read.
	outletChunk = 16 << 10
)

// NewLog is the outlet of log lines and messages, such as standard error. A reader who has stopped holds a Write up
// for a second; then lines wait, and those that find no room are left out and counted, which is said when he goes on.
func NewLog(to io.Writer) *Outlet {
	return &Outlet{to: to, keep: logKeep, patience: logPatience, moved: make(chan struct{})}
}

// errUnread ends a result that nobody reads.
var errUnread = errors.New("nobody reads it")

// NewResult is the outlet of what a command was asked for, such as standard output. It arrives whole or ends with the
// first error: see Err. A Write waits until it is read, and for a few seconds only once hurry is closed.
func NewResult(to io.Writer, hurry <-chan struct{}) *Outlet {
	return &Outlet{to: to, hurry: hurry, moved: make(chan struct{})}
}

// Within bounds how long a result may wait while nothing of it is read. It is called before the first Write.
func (o *Outlet) Within(patience time.Duration) { o.patience = patience }

// Err is why not all of a result was written; nil of one that was.
func (o *Outlet) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// Stalled reports whether what was written last still waits for a reader who has stopped reading.
func (o *Outlet) Stalled() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stalled
}

// Write implements io.Writer. It takes all of p and returns no error.
func (o *Outlet) Write(p []byte) (int, error) {
	o.mu.Lock()
	if o.keep == 0 && o.err != nil || len(p) == 0 {
		o.mu.Unlock()
		return len(p), nil
	}
	o.full = len(o.waiting) > 0 && (o.full || o.keep > 0 && len(o.waiting)+len(p) > o.keep)
	if o.full { // until all that waits is read, so that the gap is one
		o.lost += bytes.Count(p, []byte("\n"))
		o.mu.Unlock()
		return len(p), nil
	}
	o.waiting = append(o.waiting, p...)
	o.given += int64(len(p))
	goal, wait := o.given, !o.stalled
	if !o.busy {
		o.busy = true
		go o.drain()
	}
	o.mu.Unlock()
	if wait {
		o.await(goal, o.patience)
	}
	return len(p), nil
}

// Close waits for what still waits, until none of it is taken for so long.
func (o *Outlet) Close(patience time.Duration) {
	o.mu.Lock()
	goal := o.given
	o.mu.Unlock()
	o.await(goal, patience)
}

// await returns when so many bytes are taken, or none were for so long.
func (o *Outlet) await(goal int64, patience time.Duration) {
	hurry := o.hurry
	for {
		o.mu.Lock()
		taken, moved := o.taken, o.moved
		o.mu.Unlock()
		if taken >= goal {
			return
		}
		var late <-chan time.Time
		timer := time.NewTimer(patience)
		if patience > 0 {
			late = timer.C
		}
		select {
		case <-moved:
		case <-hurry:
			hurry, patience = nil, hurryPatience
		case <-late:
			if o.stall(taken) {
				return
			}
		}
		timer.Stop()
	}
}

// stall notes that nothing was taken since so many bytes were. A result ends with that.
func (o *Outlet) stall(taken int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.taken != taken {
		return false
	}
	o.stalled = true
	if o.keep == 0 && o.err == nil {
		o.err = errUnread
	}
	return true
}

// drain takes bytes out until none wait. It may stand in a write for ever: the end of the program ends it.
func (o *Outlet) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	noted := 0 // lines whose loss the chunk tells of
	for len(o.waiting) > 0 {
		chunk := firstLines(o.waiting)
		o.mu.Unlock()
		n, err := o.to.Write(chunk)
		o.mu.Lock()
		o.waiting = o.waiting[len(chunk):]
		o.taken += int64(len(chunk))
		switch {
		case err == nil && len(o.waiting) == 0 && o.lost > 0:
			noted, o.lost = o.lost, 0
			o.waiting = fmt.Appendf(nil, "(%s left out, because they could not be written; the log file of a run has all of its own)\n", lines(noted))
			o.given += int64(len(o.waiting))
		case err == nil:
			noted = 0
		case o.keep == 0:
			o.err = err
			o.taken, o.waiting = o.given, nil
		default: // a disk may have room again, and a pipe that is broken stays so: the next line tries
			o.lost += noted + bytes.Count(chunk[min(max(n, 0), len(chunk)):], []byte("\n"))
			noted = 0
		}
		o.stalled = false
		close(o.moved)
		o.moved = make(chan struct{})
	}
	o.busy, o.waiting = false, nil
}

func lines(n int) string {
	if n == 1 {
		return "1 line was"
	}
	return Count(int64(n)) + " lines were"
}

// firstLines is what is written at a time: whole lines, if they are not too long.
func firstLines(b []byte) []byte {
	if len(b) <= outletChunk {
		return b
	}
	if n := bytes.LastIndexByte(b[:outletChunk], '\n'); n >= 0 {
		return b[:n+1]
	}
	return b[:outletChunk]
}

// outletTerminal is an outlet to a terminal.
type outletTerminal struct {
	*Outlet
	terminal Terminal
}

// Size implements Terminal.
func (t outletTerminal) Size() (columns, rows int, err error) { return t.terminal.Size() }
