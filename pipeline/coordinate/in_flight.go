package coordinate

import (
	"sync"
)

// inFlight are the commands that are being carried out, by the id of what they are for.
type inFlight struct {
	mu    sync.Mutex
	twice map[string]bool // it was delivered again meanwhile
}

// carryOut calls f unless that goes on already. A command is delivered twice after a freeze, or a loss of the
// connection. The second delivery is acknowledged at once, so that it takes nobody's place, and with it the command:
// should f then fail, again has to bring it back.
func (h *inFlight) carryOut(id string, f func() error, again func()) error {
	h.mu.Lock()
	if _, busy := h.twice[id]; busy {
		h.twice[id] = true
		h.mu.Unlock()
		return nil
	}
	if h.twice == nil {
		h.twice = map[string]bool{}
	}
	h.twice[id] = false
	h.mu.Unlock()
	err := f()
	h.mu.Lock()
	twice := h.twice[id]
	delete(h.twice, id)
	h.mu.Unlock()
	if err != nil && twice {
		again()
	}
	return err
}

// busy reports whether the command for id is being carried out; any, whether one is.
func (h *inFlight) busy(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, busy := h.twice[id]
	return busy
}

func (h *inFlight) any() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.twice) > 0
}
