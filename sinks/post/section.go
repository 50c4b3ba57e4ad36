package post

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// verifyBytes is what is read of a section at once: between two such reads a cancel is seen.
const verifyBytes = 128 << 10

// verify reads the section once and returns its Standard Webhooks signatures, "" without secrets. The signed text is
// "id.timestamp.body", so that each attempt, which has a timestamp of its own, costs a reading of the body.
func verify(ctx context.Context, r Request, secrets [][]byte, at time.Time) (signature string, err error) {
	sum := sha256.New()
	writers := []io.Writer{sum}
	macs := make([]hash.Hash, len(secrets))
	for i, secret := range secrets {
		macs[i] = hmac.New(sha256.New, secret)
		_, _ = io.WriteString(macs[i], r.Key+"."+strconv.FormatInt(at.Unix(), 10)+".")
		writers = append(writers, macs[i])
	}
	all := io.MultiWriter(writers...)
	buffer := make([]byte, min(r.Length, verifyBytes))
	for done := int64(0); done < r.Length; {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		n, err := readAt(r, buffer[:min(int64(len(buffer)), r.Length-done)], done)
		if err != nil {
			return "", err
		}
		_, _ = all.Write(buffer[:n])
		done += int64(n)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != r.SHA256 {
		return "", fmt.Errorf("%w: SHA-256 %x, recorded as %x", ErrDamaged, sum.Sum(nil), r.SHA256)
	}
	signatures := make([]string, len(macs))
	for i, mac := range macs {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

// readAt reads from the section at a place in it: at least one byte, or an error.
func readAt(r Request, p []byte, at int64) (int, error) {
	n, err := r.Body.ReadAt(p, r.Offset+at)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, io.EOF):
		return 0, fmt.Errorf("%w: they end after %d of %d bytes", ErrDamaged, at, r.Length)
	case err == nil:
		return 0, io.ErrNoProgress
	}
	return 0, fmt.Errorf("read the request's bytes: %w", err)
}

var errStopped = errors.New("the attempt is over")

// section is a body on its way. Its last bytes leave only if all of them are those recorded: a receiver that knows the
// length from the header does not take a body that ends before.
type section struct {
	r        Request
	progress func()

	mu      sync.Mutex
	sum     hash.Hash
	sent    int64 // bytes given to the transport
	failed  error
	stopped bool
}

func newSection(r Request, progress func()) *section {
	return &section{r: r, progress: progress, sum: sha256.New()}
}

func (s *section) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return 0, errStopped
	case s.failed != nil:
		return 0, s.failed
	case s.sent == s.r.Length:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := readAt(s.r, p[:min(int64(len(p)), s.r.Length-s.sent)], s.sent)
	if err == nil {
		_, _ = s.sum.Write(p[:n])
		if s.sent+int64(n) == s.r.Length && [sha256.Size]byte(s.sum.Sum(nil)) != s.r.SHA256 {
			err = fmt.Errorf("%w: they changed while they were sent", ErrDamaged)
		}
	}
	if err != nil {
		s.failed = err
		return 0, err
	}
	s.sent += int64(n)
	s.progress()
	return n, nil
}

func (s *section) Close() error { return nil }

// stop lets no more reads through to the file: the transport may still want to read when its answer is there.
func (s *section) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

func (s *section) state() (sent int64, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.failed
}
