// Package dedupe decides which rows of a run are sent and which are repetitions of another row: exactly, whatever
// their number, in bounded memory and with files in one folder.
//
// Nothing has to be known before all connections have ended, so no set has to answer while rows arrive. Run goes once
// over all rows, in the order of the job. Keys go into a table in memory until that is full. From then on, a row whose
// key is in the table is decided at once; any other goes to one of 64 partition files, by its key's hash. When the rows
// are over the table is emptied and each partition is gone through in the same way: one that is too large makes
// partitions of its own. Each round takes a table full of keys out of the way, so this ends whatever the hashes are.
//
//	folder/dedupe.<n>.part    keys and positions of rows that are not decided yet; gone once they are
//	folder/dedupe.bits        a bit per row, as far as they do not fit the memory; gone with Close
//	<Spec.Save>               the keys of the rows that are kept, for later rounds
//
// The result is a bit per row and a pure function of the rows, in their order: after a crash Run is called again, and
// nothing that it left needs to be there or to be gone.
package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Keep says which row of those with the same key is kept.
type Keep uint8

const (
	First Keep = iota // the first of the job's order, then the query's
	Last              // the last
)

// DefaultMemory is what Run works with unless told otherwise, in bytes: a million keys of 40 bytes, so that most runs
// need no file at all.
const DefaultMemory = 64 << 20

// Spec says what to do. All but Queries has a default.
type Spec struct {
	Dir     string // a folder that this Run alone writes to until Result.Close; it is made if it is missing
	Memory  int64  // bound of what is held, in bytes, 1 MiB to 4 GiB, beside one row of any size; 0 is DefaultMemory
	Keep    Keep
	Queries []Query        // by number, as the destination's schema has them; rows of different queries are never the same
	Zone    *time.Location // in which instants are shown in columns of texts; nil is UTC
	Sent    []SentKeys     // what earlier rounds saved: rows with these keys are dropped
	Save    string         // file for the keys of the rows that are kept; "" saves none
	// Grow is asked before files grow by so many bytes, and told by a negative number what was removed. Its error
	// ends Run. nil asks nobody.
	Grow func(bytes int64) error
}

// Share is a batch of the rows of one connection.
type Share struct {
	Connection int   // its place in the job's order
	Query      int   // number of the query in Spec.Queries
	First      int64 // row number of the batch's first row in this query of this connection, from 0
	Columns    []int // for each column of the query its place in the batch, -1 for one that it lacks; nil: all in order
	Batch      *columnar.Batch
}

// Rows hands all rows to yield, one connection after the other in ascending order, in each one query after the other,
// in each all batches in their order. It stops at yield's first error and returns it. The batch is not used after
// yield has returned.
type Rows func(yield func(Share) error) error

// Run goes over all rows and decides which are kept. The caller closes the result.
//
// Errors of the disk are transient, those of rows out of order and of saved keys that do not fit are permanent. The
// context is looked at for every 512 rows and for every buffer that is read or written. After an error nothing is
// left in the folder.
func Run(ctx context.Context, spec Spec, rows Rows) (*Result, error) {
	r, err := newRun(ctx, spec)
	if err != nil {
		return nil, err
	}
	err = r.decide(rows)
	if err == nil {
		err = r.finish()
	}
	if err != nil {
		return nil, errors.Join(err, r.abandon())
	}
	return r.result, nil
}

// Clean removes what a Run that was killed left in its folder. Saved keys are not touched. A folder that is not there
// is clean.
func Clean(dir string) error { return cleanFolder(dir) }

// run is one Run at work.
type run struct {
	ctx     context.Context
	spec    Spec
	dir     *folder
	forms   []*Form
	hash    func(key []byte) uint64
	table   *table
	full    bool // the table takes no more keys in this round
	out     *spiller
	level   int // how many partitions deep the rows come from
	pending []spill
	save    *sentWriter
	result  *Result

	keys    []byte // of a group of rows, one after the other
	ends    [groupRows]int
	hashes  [groupRows]uint64
	ordinal [groupRows]int64
}

// groupRows is how many rows are hashed before the table is asked for the first of them: their memory is fetched
// together, and not one after the other.
const groupRows = 512

// groupBytes ends a group early where rows are large.
const groupBytes = 64 << 10

// hashKey is what forced collisions replace in tests.
var hashKey = xxhash.Sum64

func newRun(ctx context.Context, spec Spec) (*run, error) {
	if spec.Memory <= 0 {
		spec.Memory = DefaultMemory
	}
	spec.Memory = min(spec.Memory, 4<<30)
	r := &run{ctx: ctx, spec: spec, dir: newFolder(ctx, spec.Dir, spec.Grow), hash: hashKey}
	for i, q := range spec.Queries {
		f, err := NewForm(q, spec.Zone)
		if err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("dedupe query %d: %w", i, err))
		}
		r.forms = append(r.forms, f)
	}
	// Most of it is for keys: the more are in the table, the fewer are written and read again.
	r.table = newTable(spec.Memory / 4 * 3)
	r.out = newSpiller(r.dir, spec.Memory/8)
	r.result = &Result{bits: newBits(r.dir, spec.Memory/8), keep: spec.Keep}
	err := cleanFolder(spec.Dir)
	if err == nil {
		err = r.dir.make()
	}
	if err == nil && spec.Save != "" {
		r.save, err = createSent(ctx, spec.Save, r.heading(), r.dir)
	}
	return r, err
}

// decide goes over everything.
func (r *run) decide(rows Rows) error {
	for _, s := range r.spec.Sent {
		err := readSent(r.ctx, s, r.heading(), func(key []byte) error { return r.take(r.hash(key), key, sentBefore) })
		if err != nil {
			return err
		}
	}
	if err := rows(r.share); err != nil {
		return err
	}
	if err := r.endRound(); err != nil {
		return err
	}
	for len(r.pending) > 0 {
		last := len(r.pending) - 1
		p := r.pending[last]
		r.pending = r.pending[:last]
		if err := r.again(p); err != nil {
			return err
		}
	}
	return nil
}

// share takes a batch: yield of Rows.
func (r *run) share(s Share) error {
	if err := r.result.extend(s, r.spec.Queries); err != nil {
		return pipeline.Permanent(fmt.Errorf("dedupe: %w", err))
	}
	form, base := r.forms[s.Query], r.result.rows-int64(s.Batch.Rows)
	for row := 0; row < s.Batch.Rows; {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		n := 0
		r.keys = r.keys[:0]
		for ; row < s.Batch.Rows && n < groupRows && len(r.keys) < groupBytes; row++ {
			at := len(r.keys)
			key, distinct := form.Key(appendQuery(r.keys, s.Query), s.Batch, s.Columns, row)
			if r.keys = key; distinct {
				r.keys = r.keys[:at] // a NULL in a key: kept, whatever else there is
				continue
			}
			r.ends[n], r.hashes[n], r.ordinal[n] = len(r.keys), r.hash(key[at:]), base+int64(row)
			n++
		}
		if err := r.group(n); err != nil {
			return err
		}
	}
	if cap(r.keys) > 2*groupBytes {
		r.keys = nil
	}
	return nil
}

// group takes the first n rows of keys.
func (r *run) group(n int) error {
	r.table.fetch(r.hashes[:n])
	at := 0
	for i, end := range r.ends[:n] {
		if err := r.take(r.hashes[i], r.keys[at:end], r.ordinal[i]); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// sentBefore is the position of keys that an earlier round has sent. They come before all rows.
const sentBefore = -1

// take decides about a row, or writes it to a partition.
func (r *run) take(hash uint64, key []byte, ordinal int64) error {
	if rec := r.table.find(hash, key); rec != nil {
		switch was := rec.position(); {
		case ordinal == sentBefore:
			return nil // two rounds have it: no matter
		case was == sentBefore:
			return r.result.dropSent(ordinal)
		case r.spec.Keep == Last:
			rec.setPosition(ordinal)
			return r.result.bits.drop(was)
		default:
			return r.result.bits.drop(ordinal)
		}
	}
	if !r.full && r.table.add(hash, key, ordinal) {
		return nil
	}
	r.full = true
	return r.out.add(hash, r.level, key, ordinal)
}

// again goes over a partition.
func (r *run) again(p spill) error {
	r.level = p.level
	if err := r.dir.read(p, r.out.readBuffer(), func(key []byte, ordinal int64) error { return r.take(r.hash(key), key, ordinal) }); err != nil {
		return err
	}
	if err := r.dir.remove(p.name, p.bytes); err != nil {
		return err
	}
	return r.endRound()
}

// endRound empties the table: what it has is decided.
func (r *run) endRound() error {
	spilled, err := r.out.end(r.level + 1)
	if err != nil {
		return err
	}
	r.pending = append(r.pending, spilled...)
	if r.save != nil {
		err = r.table.each(func(key []byte, ordinal int64) error {
			if ordinal == sentBefore {
				return nil
			}
			return r.save.add(key)
		})
	}
	r.table.clear()
	r.full = false
	return err
}

func (r *run) finish() (err error) {
	if err := r.result.count(); err != nil {
		return err
	}
	if r.save != nil {
		r.result.sent, err = r.save.commit()
	}
	r.dir.ctx = context.WithoutCancel(r.ctx) // the result outlives it
	return err
}

// heading is what makes saved keys comparable with those of this Run.
func (r *run) heading() sentHeading { return headingOf(r.forms) }

// abandon removes all files of a Run that failed.
func (r *run) abandon() error {
	if r.save != nil {
		r.save.abandon()
	}
	r.out.abandon()
	return r.result.Close()
}
