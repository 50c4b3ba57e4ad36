package proof

import (
	"context"
	"io"
	"sync"
)

// meter tells of what is read, and remembers what could not be.
type meter struct {
	r    io.ReaderAt
	read func(int64) // nil tells nobody
	ctx  context.Context

	mu   sync.Mutex
	left int64 // bytes that are to be told of yet, of one that a format reads as it likes; 0 bounds nothing
	err  error
}

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if err := m.ctx.Err(); err != nil {
		m.note(err)
		return 0, err
	}
	n, err := m.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		m.note(err)
	}
	m.tell(int64(n))
	return n, err
}

func (m *meter) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// failed is the last error of reading; what is wrong with the bytes is none.
func (m *meter) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *meter) tell(n int64) {
	if m.read == nil {
		return
	}
	m.mu.Lock()
	if m.left > 0 {
		if n = min(n, m.left-1); n < 0 {
			n = 0
		}
		m.left -= n
	}
	m.mu.Unlock()
	m.read(n)
}

// rest tells of the bytes that nobody needed to read.
func (m *meter) rest() {
	if m.read == nil {
		return
	}
	m.mu.Lock()
	n := m.left
	m.left = 0
	m.mu.Unlock()
	m.read(n)
}
