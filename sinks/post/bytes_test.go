package post_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"fanmill/pipeline"
	"fanmill/sinks/post"
)

func TestDamaged(t *testing.T) {
	w := newWorld(t, nil)
	changed := request("a", `{"a":1}`)
	changed.SHA256[0] ^= 1
	short := request("b", `{"a":1}`)
	short.Length += 100
	elsewhere := request("c", `{"a":1}`)
	elsewhere.Offset--
	dotted := request("a.b", "{}")
	unkeyed := request("", "{}")
	for name, r := range map[string]post.Request{"changed": changed, "short": short, "elsewhere": elsewhere, "dotted key": dotted, "no key": unkeyed, "no body": {Key: "k"}} {
		_, f := w.fail(t, r, pipeline.OfRequest)
		if !errors.Is(f, post.ErrDamaged) || f.MayHaveArrived || f.Receipt.Wire != 0 {
			t.Errorf("%s: %v", name, f)
		}
	}
	if len(w.Requests()) != 0 {
		t.Errorf("%d requests came in", len(w.Requests()))
	}
}

// turning is a file that changes after its first reading.
type turning struct {
	data  []byte
	reads atomic.Int32
}

func (f *turning) ReadAt(p []byte, at int64) (int, error) {
	n, err := bytes.NewReader(f.data).ReadAt(p, at)
	if f.reads.Add(1) > 1 && n > 0 {
		p[n-1] ^= 1
	}
	return n, err
}

// TestChangesWhileSent: the last bytes are held back, so that the receiver has no whole request.
func TestChangesWhileSent(t *testing.T) {
	w := newWorld(t, nil)
	r := request("a", strings.Repeat("x", 1000))
	whole, _ := io.ReadAll(io.NewSectionReader(r.Body, 0, 2000))
	r.Body = &turning{data: whole}
	_, f := w.fail(t, r, pipeline.OfRequest)
	if !errors.Is(f, post.ErrDamaged) || f.MayHaveArrived {
		t.Errorf("%v", f)
	}
	w.Stop() // waits for no handler, but the request was never whole
	if len(w.Requests()) != 0 {
		t.Errorf("the receiver took %+v", w.Requests())
	}
}

type broken struct{ after atomic.Int32 }

func (b *broken) ReadAt(p []byte, at int64) (int, error) {
	if b.after.Add(-1) < 0 {
		return 0, errors.New("input/output error")
	}
	return zeros{}.ReadAt(p, at)
}

// TestDiskFails: a read that fails is of the moment, and says that it is ours.
func TestDiskFails(t *testing.T) {
	for reads := range int32(3) {
		w := newWorld(t, nil)
		r := large("a", 1000)
		b := &broken{}
		b.after.Store(reads)
		r.Body = b
		_, err := w.client.Send(t.Context(), r)
		if reads > 1 {
			if err != nil {
				t.Errorf("%d reads: %v", reads, err)
			}
			continue
		}
		trouble, f := parts(t, err)
		if trouble.Scope != pipeline.OfMoment || !strings.Contains(err.Error(), "read the request's bytes: input/output error") || f.MayHaveArrived {
			t.Errorf("%d reads: %v", reads, err)
		}
	}
}

// TestNotReadAfterwards: the file may be closed as soon as Send has returned.
func TestNotReadAfterwards(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.NoExpect = true })
	var over atomic.Bool
	r := large("a", 32<<20)
	r.Body = readerAt(func(p []byte, at int64) (int, error) {
		if over.Load() {
			t.Error("the file was read after Send had returned")
		}
		return zeros{}.ReadAt(p, at)
	})
	w.Script(earlyStep(400))
	w.fail(t, r, pipeline.OfRequest)
	over.Store(true)
	w.client.Close()
	w.Stop()
}

type readerAt func(p []byte, at int64) (int, error)

func (f readerAt) ReadAt(p []byte, at int64) (int, error) { return f(p, at) }
