package dedupe

import (
	"bytes"
	"encoding/binary"
)

// table is a set of keys with a position each, in bounded memory: an open-addressing table of references into chunks
// of records. It says when it is full and keeps its memory when it is emptied.
type table struct {
	limit  int64 // of slots and chunks, in bytes
	slots  []slot
	n      int
	chunks [][]byte // records one after the other
	spare  [][]byte // empty chunks
	bytes  int64    // of chunks and spare
	empty  int      // the slot where the last search ended without success
	sink   uint32   // keeps fetch from being optimized away
}

// slot is 0 or refers to a record.
type slot struct {
	hash uint32 // low bits: partitions are by the high ones
	ref  uint32 // chunk << chunkBits | offset, plus 1
}

const (
	chunkBits  = 18
	chunkBytes = 1 << chunkBits
	slotBytes  = 8
	leastSlots = 1 << 10
)

// record is a position, in 8 bytes, the key's length and the key. It may be longer than its key: the rest of a chunk.
type record []byte

const positionBytes = 8

func (r record) position() int64      { return int64(binary.LittleEndian.Uint64(r)) }
func (r record) setPosition(at int64) { binary.LittleEndian.PutUint64(r, uint64(at)) }

// key is the record's key and where the next record begins.
func (r record) key() (key []byte, next int) {
	if n := r[positionBytes]; n < 0x80 {
		next = positionBytes + 1 + int(n)
		return r[positionBytes+1 : next], next
	}
	n, width := binary.Uvarint(r[positionBytes:])
	at := positionBytes + width
	return r[at : at+int(n)], at + int(n)
}

func newTable(limit int64) *table {
	return &table{limit: limit, slots: make([]slot, leastSlots)}
}

// fetch touches the slots of these hashes. The loads do not wait for each other, as those of the searches to come do.
func (t *table) fetch(hashes []uint64) {
	mask := uint32(len(t.slots) - 1)
	var sum uint32
	for _, h := range hashes {
		sum += t.slots[uint32(h)&mask].hash
	}
	t.sink = sum
}

// find is the record of a key, nil if there is none. Keys of equal hashes are compared.
func (t *table) find(hash uint64, key []byte) record {
	mask := uint32(len(t.slots) - 1)
	for i := uint32(hash) & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s.ref == 0 {
			t.empty = int(i)
			return nil
		}
		if s.hash != uint32(hash) {
			continue
		}
		rec := t.record(s.ref - 1)
		if got, _ := rec.key(); bytes.Equal(got, key) {
			return rec
		}
	}
}

func (t *table) record(ref uint32) record { return t.chunks[ref>>chunkBits][ref&(chunkBytes-1):] }

// add adds a key that find has just not found, unless there is no room. An empty table has room for any key.
func (t *table) add(hash uint64, key []byte, at int64) bool {
	if t.n >= len(t.slots)/4*3 && !t.grow(hash, key) {
		return false
	}
	size := positionBytes + uvarintLen(len(key)) + len(key)
	last := len(t.chunks) - 1
	if last < 0 || cap(t.chunks[last])-len(t.chunks[last]) < size || len(t.chunks[last]) >= chunkBytes {
		if !t.addChunk(size) {
			return false
		}
		last++
	}
	c := t.chunks[last]
	ref := uint32(last)<<chunkBits | uint32(len(c))
	c = binary.LittleEndian.AppendUint64(c, uint64(at))
	c = binary.AppendUvarint(c, uint64(len(key)))
	t.chunks[last] = append(c, key...)
	t.slots[t.empty] = slot{uint32(hash), ref + 1}
	t.n++
	return true
}

// addChunk begins a chunk, a larger one for a record that needs it.
func (t *table) addChunk(size int) bool {
	if len(t.chunks) == 1<<(32-chunkBits)-1 {
		return false
	}
	if n := len(t.spare); n > 0 && size <= chunkBytes {
		t.chunks = append(t.chunks, t.spare[n-1])
		t.spare = t.spare[:n-1]
		return true
	}
	size = max(size, chunkBytes)
	if t.n > 0 && t.bytes+int64(size)+int64(len(t.slots))*slotBytes > t.limit {
		return false
	}
	t.bytes += int64(size)
	t.chunks = append(t.chunks, make([]byte, 0, size))
	return true
}

// grow doubles the slots, while there is room for both, and searches the place of the key again.
func (t *table) grow(hash uint64, key []byte) bool {
	if t.bytes+3*int64(len(t.slots))*slotBytes > t.limit {
		return false
	}
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	mask := uint32(len(t.slots) - 1)
	for _, s := range old {
		if s.ref == 0 {
			continue
		}
		i := s.hash & mask
		for t.slots[i].ref != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
	t.find(hash, key)
	return true
}

// each calls f for every key, in the order in which they were added.
func (t *table) each(f func(key []byte, at int64) error) error {
	for _, c := range t.chunks {
		for r := record(c); len(r) > 0; {
			key, next := r.key()
			if err := f(key, r.position()); err != nil {
				return err
			}
			r = r[next:]
		}
	}
	return nil
}

// clear drops all keys. Chunks of the usual size are kept.
func (t *table) clear() {
	for _, c := range t.chunks {
		if cap(c) == chunkBytes {
			t.spare = append(t.spare, c[:0])
		} else {
			t.bytes -= int64(cap(c))
		}
	}
	clear(t.chunks)
	t.chunks, t.n = t.chunks[:0], 0
	clear(t.slots)
}

// uvarintLen is how many bytes a length takes.
func uvarintLen(n int) int {
	w := 1
	for ; n >= 0x80; n >>= 7 {
		w++
	}
	return w
}
