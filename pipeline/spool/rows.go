package spool

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Block is a batch of rows as it came, a piece of one, or the opening of its attempt.
type Block struct {
	Query int    // OpeningBlock for the opening
	First int64  // rows of the query before it; of a piece with More, about how many bytes the batch has
	Body  []byte // of a batch, columnar.ContentType; of the opening, JSON
	More  bool   // a piece of a batch, which the next block goes on with; Each hands over whole batches
}

// OpeningBlock stands in place of a query in the block that describes the attempt.
const OpeningBlock = -1

// Mark is a place in a rows file: how many bytes are before it, and the chained checksum of their blocks. A record
// keeps it, so it is small.
type Mark struct {
	Length  int64  `json:"l"` // bytes
	Sum     uint64 `json:"s,string"`
	Pieces  int64  `json:"p,omitempty"` // bytes of the batch of which only pieces are before it
	Largest int64  `json:"b,omitempty"` // bytes of the largest batch that came in pieces
}

// A block in a file: length of the body, query, rows before it, checksum of these three and the body; then the body.
// All little-endian. A piece that is not the last of its batch has pieceSum minus the query in place of the query:
// that is less than any query.
const (
	headBytes = 4 + 4 + 8 + 8
	pieceSum  = 2*OpeningBlock - 1
)

// maxBody bounds what a damaged length can ask for, in bytes. A batch is a few MB; one huge row may be larger.
const maxBody = math.MaxInt32

// Writer appends blocks to a rows file. One goroutine uses it.
type Writer struct {
	folder *Folder
	name   string
	file   *os.File
	out    *bufio.Writer
	at     Mark
	fresh  bool // its name is not durable yet
}

// Append writes a block. It waits for room in the space of the process; nothing of it is durable before Save.
func (w *Writer) Append(ctx context.Context, b Block) error {
	n := int64(headBytes + len(b.Body))
	if err := w.folder.space.Take(ctx, n); err != nil {
		return err
	}
	head := headOf(&b)
	_, err := w.out.Write(head[:])
	if err == nil {
		_, err = w.out.Write(b.Body)
	}
	if err != nil {
		w.folder.space.Give(n)
		return fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	w.at.Length += n
	w.at.Sum = chain(w.at.Sum, head)
	switch {
	case b.More:
		w.at.Pieces += int64(len(b.Body))
	case w.at.Pieces > 0:
		w.at.Largest, w.at.Pieces = max(w.at.Largest, w.at.Pieces+int64(len(b.Body))), 0
	}
	return nil
}

// Save makes what was appended durable, and says where that ends.
func (w *Writer) Save() (Mark, error) {
	err := w.out.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil && w.fresh {
		err = w.folder.syncDir()
	}
	if err != nil {
		return Mark{}, fmt.Errorf("save %s: %w", w.file.Name(), err)
	}
	w.fresh = false
	return w.at, nil
}

// End closes the file and says where it ends. It can be read then, and is not durable.
func (w *Writer) End() (Mark, error) {
	if err := errors.Join(w.out.Flush(), w.file.Close()); err != nil {
		return Mark{}, fmt.Errorf("write %s: %w", w.file.Name(), err)
	}
	return w.at, nil
}

// Close leaves the file. What was not saved may be lost.
func (w *Writer) Close() error { return w.file.Close() }

// Remove closes the file and removes it.
func (w *Writer) Remove() error {
	err := errors.Join(w.file.Close(), os.Remove(w.file.Name()))
	w.folder.space.Give(w.at.Length)
	return err
}

// Each reads the blocks of a rows file up to a mark, in order, and joins the pieces of a batch. It verifies every block
// before it is handed over, and the whole at the end: an error that is ErrDamaged says that the file no longer has what
// was written. Body is valid until the next block. In memory are one batch and one piece.
func (f *Folder) Each(ctx context.Context, name string, at Mark, take func(Block) error) (err error) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return gone(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReaderSize(io.NewSectionReader(file, 0, at.Length), bufferBytes)
	var sum uint64
	var body []byte
	var whole pieces
	for left := at.Length; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		var head [headBytes]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return damaged(file.Name(), at.Length-left, err)
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		if n > maxBody || n > left-headBytes {
			return damaged(file.Name(), at.Length-left, errors.New("a block is longer than what is left"))
		}
		if int64(cap(body)) < n {
			body = make([]byte, n)
		}
		body = body[:n]
		if _, err := io.ReadFull(in, body); err != nil {
			return damaged(file.Name(), at.Length-left, err)
		}
		b := blockOf(head, body)
		if headOf(&b) != head {
			return damaged(file.Name(), at.Length-left, errors.New("the checksum of a block does not fit"))
		}
		sum = chain(sum, head)
		left -= headBytes + n
		if !whole.join(&b, at.Length) {
			continue
		}
		if err := take(b); err != nil {
			return err
		}
	}
	if sum != at.Sum || len(whole) > 0 {
		return damaged(file.Name(), at.Length, errors.New("the blocks are not those that were recorded"))
	}
	return nil
}

// pieces are those of one batch, joined as far as they were read.
type pieces []byte

// join reports whether a block is a whole batch, which it is after its last piece. limit is more bytes than there are.
func (p *pieces) join(b *Block, limit int64) bool {
	if !b.More && len(*p) == 0 {
		return true
	}
	if len(*p) == 0 {
		*p = slices.Grow(*p, int(max(min(b.First, limit), int64(len(b.Body)))))
	}
	*p = append(*p, b.Body...)
	if b.More {
		return false
	}
	b.Body, *p = *p, (*p)[:0]
	return true
}

// blockOf reads what headOf writes.
func blockOf(head [headBytes]byte, body []byte) Block {
	b := Block{Query: int(int32(binary.LittleEndian.Uint32(head[4:]))), First: int64(binary.LittleEndian.Uint64(head[8:])), Body: body}
	if b.Query < OpeningBlock {
		b.Query, b.More = pieceSum-b.Query, true
	}
	return b
}

// headOf is what stands before a block's body.
func headOf(b *Block) (head [headBytes]byte) {
	binary.LittleEndian.PutUint32(head[:], uint32(len(b.Body)))
	query := b.Query
	if b.More {
		query = pieceSum - query
	}
	binary.LittleEndian.PutUint32(head[4:], uint32(int32(query)))
	binary.LittleEndian.PutUint64(head[8:], uint64(b.First))
	d := xxhash.New()
	_, _ = d.Write(head[:16]) // never fails
	_, _ = d.Write(b.Body)
	binary.LittleEndian.PutUint64(head[16:], d.Sum64())
	return head
}

// chain extends the checksum of a file by a block. Its whole state is eight bytes, so that a record can carry it over a
// restart.
func chain(sum uint64, head [headBytes]byte) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], sum)
	copy(b[8:], head[16:])
	return xxhash.Sum64(b[:])
}

// ErrDamaged is a file of the spool that is gone, or no longer has what was recorded.
var ErrDamaged = errors.New("the spool no longer has what was recorded")

func damaged(path string, at int64, cause error) error {
	return fmt.Errorf("read %s at byte %d: %w (%w)", path, at, cause, ErrDamaged)
}

// gone marks the error of a file that is not there.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (%w)", err, ErrDamaged)
	}
	return err
}
