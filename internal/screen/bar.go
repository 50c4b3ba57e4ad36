package screen

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bar shows how far a command is with an amount of bytes, on a terminal; off one it shows nothing. Its methods may be
// called from any goroutine.
type Bar struct {
	total int64
	done  atomic.Int64
	began time.Time
	paint *painter // nil off a terminal

	mu   sync.Mutex
	what string

	stop     chan struct{}
	stopped  chan struct{}
	stopOnce sync.Once
}

// NewBar shows progress on out, if that is a terminal, until Close.
func NewBar(out io.Writer, total int64) *Bar {
	b := &Bar{total: total, began: time.Now(), stop: make(chan struct{}), stopped: make(chan struct{})}
	t, ok := terminalOf(out)
	if !ok {
		close(b.stopped)
		return b
	}
	b.paint = &painter{terminal: t, look: look{color: Colors(out), plain: !braille()}}
	go func() {
		defer close(b.stopped)
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.draw()
			case <-b.stop:
				_ = b.paint.show(nil, nil)
				return
			}
		}
	}()
	return b
}

// Add notes bytes that are done.
func (b *Bar) Add(n int64) { b.done.Add(n) }

// At notes which of several files is under way.
func (b *Bar) At(n, of int, path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.what = clean(filepath.Base(path)); of > 1 {
		b.what = fmt.Sprintf("%d/%d  %s", n, of, b.what)
	}
}

// draw shows what is known now. A terminal that stands still gets no frames.
func (b *Bar) draw() {
	if t, ok := b.paint.terminal.(interface{ Stalled() bool }); ok && t.Stalled() {
		return
	}
	columns, _, err := b.paint.terminal.Size()
	if err != nil {
		return
	}
	_ = b.paint.show(nil, []string{b.text(columns-1, time.Since(b.began))})
}

// text is the line of a terminal that is so wide.
func (b *Bar) text(width int, took time.Duration) string {
	b.mu.Lock()
	what := b.what
	b.mu.Unlock()
	const cells, whole = 20, 100
	done := min(b.done.Load(), b.total)
	part := 0
	if b.total > 0 {
		part = int(float64(done) / float64(b.total) * whole)
	}
	full := part * cells / whole
	mark, rest := "━", "─"
	if b.paint.look.plain {
		mark, rest = "#", "-"
	}
	text := fmt.Sprintf("%s%s %3d %%  %s", strings.Repeat(mark, full), strings.Repeat(rest, cells-full), part, Duration(took.Round(time.Second)))
	if done > 0 && part < whole && took > time.Second {
		text += "  about " + Duration(time.Duration(float64(took)*(float64(b.total)/float64(done)-1))) + " left"
	}
	return cut(text+"  "+what, max(width, 1))
}

// Close removes the bar from the terminal.
func (b *Bar) Close() {
	b.stopOnce.Do(func() { close(b.stop) })
	<-b.stopped
}
