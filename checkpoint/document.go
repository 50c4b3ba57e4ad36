package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"fanmill/pipeline"
)

// Document is one JSON document in a KV, changed by compare-and-set only. Every write carries a stamp of its own, a
// random "stamp" in the document, so that a write whose answer was lost can be told from everybody else's. A Document
// is not safe for concurrent use.
type Document[T any] struct {
	kv    pipeline.KV
	key   string
	rev   uint64
	stamp string
	value T
	// unsure are the stamps of writes that were given up before it was known whether they happened. The last few are
	// enough: who gives up writes no more than a sign of life every few seconds.
	unsure []string
	rival  *Document[T] // what the last write found in its place; nil if nothing, or if it could not look
	origin *origin[T]   // what another version wrote, and this one does not know: it stays
}

// maxUnsure bounds Document.unsure.
const maxUnsure = 32

// cellPatience bounds how long a write whose outcome is unknown is pursued. A store that answers nothing for so long is
// taken as gone; what had been written is found by whoever reads the record next.
const cellPatience = 30 * time.Second

// LoadDocument reads the document; ErrNoKey if there is none, ErrForeign if it is none of ours: Overwrite then takes
// its place. One of a later version is ErrLater, and stays.
func LoadDocument[T any](ctx context.Context, kv pipeline.KV, key string) (*Document[T], error) {
	c := &Document[T]{kv: kv, key: key}
	return c, c.Reload(ctx)
}

// DocumentOf is the document of an entry of the store, as a watch has brought it; the errors are LoadDocument's.
func DocumentOf[T any](kv pipeline.KV, e pipeline.KVEntry) (*Document[T], error) {
	c := &Document[T]{kv: kv, key: e.Key}
	return c, c.adopt(e)
}

// CreateDocument writes a new document; ErrConflict if there is another one already.
func CreateDocument[T any](ctx context.Context, kv pipeline.KV, key string, value T) (*Document[T], error) {
	c := &Document[T]{kv: kv, key: key}
	return c, c.Write(ctx, value)
}

// Value is the document as last read or written.
func (c *Document[T]) Value() T { return c.value }

// Revision is the store's revision of Value.
func (c *Document[T]) Revision() uint64 { return c.rev }

// Reload reads the document anew.
func (c *Document[T]) Reload(ctx context.Context) error {
	e, err := c.kv.Get(ctx, c.key)
	if err != nil {
		return fmt.Errorf("read %s: %w", c.key, err)
	}
	if err := c.adopt(e); err != nil {
		return err
	}
	return nil
}

// adopt takes an entry that was read or watched as the document's present state. The error is ErrForeign or ErrLater.
func (c *Document[T]) adopt(e pipeline.KVEntry) (err error) {
	var v T
	var head struct {
		Stamp string `json:"stamp"`
	}
	c.rev = e.Revision
	if err := decode(e.Value, &v); err != nil {
		return ForeignRecord(c.key, err)
	}
	_ = json.Unmarshal(e.Value, &head) // of a foreign hand, which has none
	if c.origin, err = originOf(e.Value, v, stampHead(head.Stamp)); err != nil {
		return ForeignRecord(c.key, err)
	}
	c.value, c.stamp = v, head.Stamp
	return nil
}

// stampHead are the first members of every document, with that stamp.
func stampHead(stamp string) string {
	return fmt.Sprintf(`{"stamp":%q,"version":%d,`, stamp, recordVersion)
}

// Overwrite writes next in place of what cannot be read, or is gone. A document of somebody else's is ErrConflict.
func (c *Document[T]) Overwrite(ctx context.Context, next T) error {
	found := &Document[T]{kv: c.kv, key: c.key}
	switch err := found.Reload(ctx); {
	case errors.Is(err, pipeline.ErrForeign):
		c.rev = found.rev
	case errors.Is(err, pipeline.ErrNoKey):
		c.rev = 0
	case err != nil:
		return err
	case found.stamp != c.stamp && !slices.Contains(c.unsure, found.stamp):
		return fmt.Errorf("write %s: %w", c.key, pipeline.ErrConflict)
	default:
		c.rev = found.rev
	}
	return c.Write(ctx, next)
}

// Change applies f to the document and writes it. Where somebody else has written it meanwhile, it looks at what stands
// there now: if that is still mine, f is applied to it and it is written again; if not, the error is ErrFenced. So what
// others write into a document ends no owner, only another owner does; after that the Document is as it was. A document
// that went away, or that cannot be read any more, is an error as of Write.
//
// mine and f may be called several times. f gets a copy whose maps and slices are the document's: it replaces them, and
// changes nothing in them.
func (c *Document[T]) Change(ctx context.Context, mine func(*T) bool, f func(*T)) error {
	for {
		next := c.value
		f(&next)
		if again, err := c.Again(c.Write(ctx, next), mine); !again {
			return err
		}
	}
}

// Again decides on what Write returned, for who applies changes by hand as Change does. It is true where somebody else
// has written the document meanwhile, which is still mine: the Document has what stands there now, for the change to be
// made to that. It is false after any other error, which it returns: ErrFenced where the document is no longer
// mine.
func (c *Document[T]) Again(err error, mine func(*T) bool) (bool, error) {
	if !errors.Is(err, pipeline.ErrConflict) || errors.Is(err, pipeline.ErrForeign) || c.rival == nil {
		return false, err // also where the context ended before it was seen what stands there
	}
	r := c.rival // as read at the conflict: another read may be answered by a replica that lags behind
	if !mine(&r.value) {
		return false, pipeline.Permanent(fmt.Errorf("write %s: %w", c.key, pipeline.ErrFenced))
	}
	c.rev, c.value, c.stamp, c.origin = r.rev, r.value, r.stamp, r.origin
	return true, nil
}

// Anybody is for documents that have no owner.
func Anybody[T any](*T) bool { return true }

// Write replaces the document if it is still at the revision last read or written; otherwise it fails with
// ErrConflict. A write whose answer was lost, or that the client library repeated and so sees as a conflict with
// itself, is looked up: if the stored document has our stamp, it was ours. next is durable when Write returns nil.
func (c *Document[T]) Write(ctx context.Context, next T) error {
	c.rival = nil
	stamp := pipeline.NewToken()
	members, err := c.origin.keep(next)
	if err != nil {
		return pipeline.Permanent(fmt.Errorf("write %s: %w", c.key, err))
	}
	data, err := encodeDocument(next, stampHead(stamp), members)
	if err != nil {
		return pipeline.Permanent(fmt.Errorf("write %s: %w", c.key, err))
	}
	deadline := time.Now().Add(cellPatience)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		rev, err := c.put(ctx, data)
		if err == nil {
			c.wrote(rev, next, stamp, members)
			return nil
		}
		if ctx.Err() != nil {
			c.doubt(stamp)
			return fmt.Errorf("write %s: %w", c.key, err)
		}
		found := &Document[T]{kv: c.kv, key: c.key}
		switch lookErr := found.Reload(ctx); {
		case lookErr == nil && found.stamp == stamp:
			c.wrote(found.rev, next, stamp, members)
			return nil
		case lookErr == nil && found.rev > c.rev && slices.Contains(c.unsure, found.stamp): // of our own, before this
			c.rev = found.rev
			continue
		case lookErr == nil && found.rev > c.rev && errors.Is(err, pipeline.ErrConflict):
			c.rival = found
			return fmt.Errorf("write %s: %w", c.key, pipeline.ErrConflict)
		case (errors.Is(lookErr, pipeline.ErrForeign) || errors.Is(lookErr, ErrLater)) && found.rev != c.rev:
			return lookErr
		case errors.Is(lookErr, pipeline.ErrNoKey) && c.rev != 0 && errors.Is(err, pipeline.ErrConflict):
			return deleted(c.key)
		}
		// The write did not happen, or a lagging replica answered: ask again.
		if time.Now().After(deadline) {
			c.doubt(stamp)
			return pipeline.Transient(fmt.Errorf("write %s: %w", c.key, err))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// wrote takes what was written as the document's present state.
func (c *Document[T]) wrote(rev uint64, v T, stamp string, members map[string]json.RawMessage) {
	c.rev, c.value, c.stamp, c.unsure = rev, v, stamp, nil
	if c.origin != nil {
		c.origin = &origin[T]{v, members}
	}
}

// doubt remembers a write of which it is not known whether it happened.
func (c *Document[T]) doubt(stamp string) {
	c.unsure = append(c.unsure[max(0, len(c.unsure)-maxUnsure+1):], stamp)
}

func (c *Document[T]) put(ctx context.Context, data []byte) (uint64, error) {
	if c.rev == 0 {
		return c.kv.Create(ctx, c.key, data)
	}
	return c.kv.Update(ctx, c.key, data, c.rev)
}
