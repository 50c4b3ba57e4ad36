package dedupe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fanmill/pipeline"
)

// fanout is how many partitions rows are spread over, by fanoutBits of their hash.
const (
	fanoutBits = 6
	fanout     = 1 << fanoutBits
)

// spill is a partition: a file of keys with their positions, in the order of the rows. An entry is the key's length,
// the key, and the distance from the position of the entry before it, 0 for one that was sent before.
type spill struct {
	name  string
	level int // how many bits of the hash led here, in units of fanoutBits
	bytes int64
}

// spiller writes the partitions of one round.
type spiller struct {
	dir   *folder
	size  int    // of a buffer, in bytes
	slab  []byte // of all buffers, the last one for reading
	parts [fanout]part
	used  bool
}

type part struct {
	f    *os.File
	name string
	buf  []byte
	home []byte // its share of the slab
	last int64  // position of the last entry
	size int64  // bytes written
}

// newSpiller makes one that holds so many bytes of buffers, within reason.
func newSpiller(dir *folder, memory int64) *spiller {
	const least, most = 512, 64 << 10
	return &spiller{dir: dir, size: int(min(max(memory/(fanout+1), least), most))}
}

// readBuffer is a buffer for reading while partitions are written.
func (s *spiller) readBuffer() []byte {
	s.reserve()
	return s.slab[fanout*s.size:]
}

// reserve makes the buffers, of which a small run needs none.
func (s *spiller) reserve() {
	if s.slab == nil {
		s.slab = make([]byte, (fanout+1)*s.size)
	}
}

// add writes an entry to the partition of its hash at this level. Past the hash's last bits it begins again with the
// first.
func (s *spiller) add(hash uint64, level int, key []byte, at int64) error {
	const levels = 64 / fanoutBits
	i := int(hash >> (64 - fanoutBits*(1+level%levels)) % fanout)
	p := &s.parts[i]
	if p.f == nil {
		if err := s.open(i); err != nil {
			return err
		}
	}
	most := 2*binary.MaxVarintLen64 + len(key)
	if len(p.buf) > 0 && len(p.buf)+most > s.size {
		if err := s.flush(p); err != nil {
			return err
		}
	}
	p.buf = binary.AppendUvarint(p.buf, uint64(len(key)))
	p.buf = append(p.buf, key...)
	if at == sentBefore {
		p.buf = append(p.buf, 0)
	} else {
		p.buf = binary.AppendUvarint(p.buf, uint64(at-p.last))
		p.last = at
	}
	if len(p.buf) > s.size { // a row larger than a buffer
		return s.flush(p)
	}
	return nil
}

func (s *spiller) open(i int) error {
	s.reserve()
	p := &s.parts[i]
	s.dir.next++
	name := fmt.Sprintf("%s%d%s", partPrefix, s.dir.next, partSuffix)
	f, err := s.dir.create(name)
	if err != nil {
		return err
	}
	s.used = true
	home := s.slab[i*s.size : i*s.size : (i+1)*s.size]
	*p = part{f: f, name: name, buf: home, home: home, last: -1}
	return nil
}

func (s *spiller) flush(p *part) error {
	if err := s.dir.write(p.f, p.buf); err != nil {
		return err
	}
	p.size += int64(len(p.buf))
	p.buf = p.home // a row larger than a buffer had one of its own
	return nil
}

// end closes the partitions of a round, and names them.
func (s *spiller) end(level int) (out []spill, err error) {
	if !s.used {
		return nil, nil
	}
	for i := range s.parts {
		p := &s.parts[i]
		if p.f == nil {
			continue
		}
		if err := s.flush(p); err != nil {
			return nil, err
		}
		if err := p.f.Close(); err != nil {
			return nil, trouble("dedupe", err)
		}
		out = append(out, spill{p.name, level, p.size})
		*p = part{}
	}
	s.used = false
	return out, nil
}

// abandon closes what is open.
func (s *spiller) abandon() {
	for i := range s.parts {
		if p := &s.parts[i]; p.f != nil {
			_ = p.f.Close() // it is removed next
			*p = part{}
		}
	}
}

// read calls f for every entry of a partition. It needs buf, and more for a row that is larger.
func (d *folder) read(p spill, buf []byte, f func(key []byte, at int64) error) error {
	file, err := os.Open(filepath.Join(d.path, p.name))
	if err != nil {
		return trouble("dedupe", err)
	}
	defer file.Close()
	have, done, last := 0, int64(0), int64(-1)
	for done < p.bytes {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadAtLeast(file, buf[have:min(int64(len(buf)), p.bytes-done)], 1)
		if errors.Is(err, io.EOF) {
			return damaged(file)
		}
		if err != nil {
			return trouble("dedupe", err)
		}
		have += n
		at := 0
		for {
			key, distance, size, whole := cutEntry(buf[at:have])
			if !whole {
				break
			}
			position := int64(sentBefore)
			if distance > 0 {
				last += distance
				position = last
			}
			if err := f(key, position); err != nil {
				return err
			}
			at += size
		}
		done += int64(at)
		have = copy(buf, buf[at:have])
		if int64(have) == p.bytes-done && have > 0 {
			return damaged(file)
		}
		if have == len(buf) {
			buf = append(buf[:have:have], make([]byte, have)...)
		}
	}
	return nil
}

// cutEntry reads the entry that b begins with, if it has the whole of it.
func cutEntry(b []byte) (key []byte, distance int64, size int, whole bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, 0, 0, false
	}
	key = b[w : w+int(n)]
	d, w2 := binary.Uvarint(b[w+int(n):])
	return key, int64(d), w + int(n) + w2, w2 > 0
}

func damaged(f *os.File) error {
	return pipeline.Transient(fmt.Errorf("dedupe: %s was changed by another program while it was in use; it is made again", f.Name()))
}
