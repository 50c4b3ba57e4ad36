package post_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

// world is a receiver with a client that sends to it.
type world struct {
	*receiver.Receiver
	client *post.Client
}

func newReceiver(t *testing.T, o receiver.Options) *receiver.Receiver {
	t.Helper()
	r, err := receiver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func newClient(t *testing.T, o post.Options) *post.Client {
	t.Helper()
	c, err := post.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// newWorld gives each test a governor of its own by a bearer token of its own, unless edit sets other credentials.
func newWorld(t *testing.T, edit func(*post.Options)) *world {
	t.Helper()
	r := newReceiver(t, receiver.Options{})
	o := post.Options{URL: r.URL + "/hook", Headers: map[string]string{"X-Test": t.Name()}}
	if edit != nil {
		edit(&o)
	}
	return &world{r, newClient(t, o)}
}

// request is one whose bytes stand between others, as in a file of several requests.
func request(key, body string) post.Request {
	file := "before" + body + "after"
	return post.Request{Key: key, Body: bytes.NewReader([]byte(file)), Offset: 6, Length: int64(len(body)),
		SHA256: sha256.Sum256([]byte(body)), ContentType: "application/json", Sequence: 3, Of: 12}
}

// zeros is a large body that takes no memory.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func large(key string, bytes int64) post.Request {
	sum := sha256.New()
	_, _ = io.Copy(sum, io.NewSectionReader(zeros{}, 0, bytes))
	return post.Request{Key: key, Body: zeros{}, Length: bytes, SHA256: [32]byte(sum.Sum(nil)), ContentType: "application/json"}
}

// send expects a delivery.
func (w *world) send(t *testing.T, r post.Request) post.Receipt {
	t.Helper()
	receipt, err := w.client.Send(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// fail expects a failure of a scope.
func (w *world) fail(t *testing.T, r post.Request, scope pipeline.Scope) (*pipeline.Trouble, *post.Failure) {
	t.Helper()
	return failure(t, w.client, r, scope)
}

func failure(t *testing.T, c *post.Client, r post.Request, scope pipeline.Scope) (*pipeline.Trouble, *post.Failure) {
	t.Helper()
	receipt, err := c.Send(t.Context(), r)
	trouble, failure := parts(t, err)
	if trouble.Scope != scope {
		t.Fatalf("scope %s, want %s: %v", trouble.Scope, scope, err)
	}
	if failure.Receipt.Status != receipt.Status || failure.Receipt.Wire != receipt.Wire {
		t.Fatalf("the failure has %+v, beside it is %+v", failure.Receipt, receipt)
	}
	if errors.Is(err, pipeline.ErrPermanent) != (scope != pipeline.OfMoment) {
		t.Fatalf("permanent: %v with scope %s", errors.Is(err, pipeline.ErrPermanent), scope)
	}
	return trouble, failure
}

func parts(t *testing.T, err error) (*pipeline.Trouble, *post.Failure) {
	t.Helper()
	var trouble *pipeline.Trouble
	if !errors.As(err, &trouble) {
		t.Fatalf("no trouble: %v", err)
	}
	f := post.FailureOf(err)
	if f == nil {
		t.Fatalf("no failure: %v", err)
	}
	return trouble, f
}

// outcome is what Send returned.
type outcome struct {
	receipt post.Receipt
	err     error
}

func (w *world) start(ctx context.Context, r post.Request) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		receipt, err := w.client.Send(ctx, r)
		done <- outcome{receipt, err}
	}()
	return done
}

func (w *world) only(t *testing.T) receiver.Request {
	t.Helper()
	all := w.Requests()
	if len(all) != 1 {
		t.Fatalf("%d requests came in, want 1", len(all))
	}
	return all[0]
}

func (w *world) sound(t *testing.T) {
	t.Helper()
	if v := w.Violations(); len(v) > 0 {
		t.Fatalf("violations: %q", v)
	}
}

func secretOf(n byte) string { return fmt.Sprintf("whsec_%s", base64Of(bytes.Repeat([]byte{n}, 32))) }
