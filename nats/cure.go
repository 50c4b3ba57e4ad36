package nats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A server that could not write to its disk keeps those streams in error, or shuts JetStream down, for as long as it
// lives: space that is freed later does not help it. So the process that runs it starts it anew once the disk takes
// data again.

const (
	diskLook      = 5 * time.Second // between looks at the free space
	lowDisk       = 8 << 20         // bytes: one message of the largest size
	probeBytes    = 1 << 20
	curePause     = time.Second // between looks whether the disk takes data again; each next one waits twice as long
	curePauseMost = 5 * time.Second
	cureAgain     = time.Minute     // trouble that comes back sooner is not met with another start at once
	shutPatience  = 8 * time.Second // with a server that does not end
)

// ailing is what the server says when it cannot write: what it logs is all that it lets others know [nats-server
// stream.go, filestore.go].
var ailing = []string{
	"failed to store a msg on stream",
	"ritical write error",
	"disabling JetStream",
	"will be DISABLED",
	"no space left",
}

func ails(text string) bool {
	return slices.ContainsFunc(ailing, func(s string) bool { return strings.Contains(text, s) })
}

// ail notes what keeps the server from storing; keep does something about it.
func (h *host) ail(text string) {
	select {
	case h.ailment <- text:
	default: // known
	}
}

// ill is what keeps the server that runs here from storing; "" if nothing does.
func (h *host) ill() string {
	if p := h.illness.Load(); p != nil {
		return *p
	}
	return ""
}

// space says how much room the folder's disk has.
func (h *host) space() string {
	n, ok := h.free(string(h.dir))
	if !ok {
		return "of unknown size"
	}
	return fmt.Sprintf("%.1f MB free", float64(n)/1e6)
}

// noRoom says that the server reserves more than the folder's disk has, and what to do.
func (h *host) noRoom() string {
	return fmt.Sprintf("the embedded NATS server finds no room for what it reserves in %s (disk: %s): free space there, name a folder on a larger disk with --data, or lower --log-max-mb", h.dir, h.space())
}

// cure waits until the disk takes data again, and starts the server anew.
func (h *host) cure(ctx context.Context, cause string) {
	text := fmt.Sprintf("the embedded NATS server cannot store in %s (disk: %s): %s. Free space there, or mend the disk; what runs goes on by itself then", h.dir, h.space(), cause)
	h.illness.Store(&text)
	h.c.log.Error(text)
	pause := curePause
	wait := func() bool {
		select {
		case <-time.After(pause):
			pause = min(2*pause, curePauseMost)
			return true
		case <-ctx.Done():
			return false
		}
	}
	if time.Since(h.cured) < cureAgain && !wait() {
		return
	}
	for {
		err := h.writable()
		if err == nil {
			if err = h.restart(ctx); err == nil {
				break
			}
		}
		h.c.log.Debug("the embedded NATS server still cannot store", "error", err)
		if !wait() {
			return
		}
	}
	h.cured = time.Now()
	select {
	case <-h.ailment: // of the server that is gone
	default:
	}
	h.illness.Store(nil)
	h.c.log.Info(fmt.Sprintf("the embedded NATS server stores in %s again (disk: %s); it was started anew", h.dir, h.space()))
}

// writable reports whether the folder's disk takes data.
func (h *host) writable() error {
	if n, ok := h.free(string(h.dir)); ok && n < lowDisk {
		return fmt.Errorf("%d bytes are free", n)
	}
	f, err := os.CreateTemp(string(h.dir), "probe.*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// restart ends the server that runs here and starts another one in its place. The folder stays this process's.
func (h *host) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.starting.Store(true)
	defer h.starting.Store(false)
	if srv := h.srv.Swap(nil); srv != nil {
		h.dying = shutdown(srv)
	}
	if !ended(h.dying) {
		return errors.New("the server does not end")
	}
	srv, err := h.start(ctx)
	if err != nil {
		return err
	}
	h.srv.Store(srv)
	return nil
}

// shutdown ends a server; the channel closes when it has.
func shutdown(srv *server.Server) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Shutdown()
		srv.WaitForShutdown()
	}()
	return done
}

// ended waits for a server's end, but not for ever: one whose disk is full may hang.
func ended(dying <-chan struct{}) bool {
	if dying == nil {
		return true
	}
	select {
	case <-dying:
		return true
	case <-time.After(shutPatience):
		return false
	}
}

// look looks whether the server that runs here can store, before it has to.
func (h *host) look() {
	srv := h.srv.Load()
	if srv == nil {
		return
	}
	if !srv.JetStreamEnabled() {
		h.ail("it has shut JetStream down")
	}
	n, ok := h.free(string(h.dir))
	switch {
	case !ok:
	case n < lowDisk && !h.low:
		h.low = true
		h.c.log.Warn(fmt.Sprintf("the disk of the data folder %s is full (%s): runs cannot go on for long; free space there", h.dir, h.space()))
	case n > 2*lowDisk && h.low:
		h.low = false
		h.c.log.Info(fmt.Sprintf("the disk of the data folder %s has space again (%s)", h.dir, h.space()))
	}
}
