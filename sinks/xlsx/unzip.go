package xlsx

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// readDirectory reads the entries of an archive that this package wrote and that ends at length.
func readDirectory(r io.ReaderAt, length int64) ([]*entry, error) {
	le := binary.LittleEndian
	if length < lenEnd {
		return nil, fmt.Errorf("a workbook is not %d bytes long: %w", length, ErrNotOurs)
	}
	end, err := readAt(r, max(0, length-lenEnd-lenLocator64), min(length, lenEnd+lenLocator64))
	if err != nil {
		return nil, err
	}
	locator := end[:len(end)-lenEnd]
	end = end[len(end)-lenEnd:]
	if le.Uint32(end) != sigEnd || le.Uint16(end[20:]) != 0 {
		return nil, fmt.Errorf("no directory ends at byte %d: %w", length, ErrNotOurs)
	}
	count, size, offset := int64(le.Uint16(end[10:])), int64(le.Uint32(end[12:])), int64(le.Uint32(end[16:]))
	stop := length - lenEnd
	if len(locator) == lenLocator64 && le.Uint32(locator) == sigLocator64 {
		at := int64(le.Uint64(locator[8:]))
		stop -= lenLocator64 + lenEnd64
		if at != stop {
			return nil, fmt.Errorf("zip64 directory: %w", ErrNotOurs)
		}
		big, err := readAt(r, at, lenEnd64)
		if err != nil {
			return nil, err
		}
		if le.Uint32(big) != sigEnd64 {
			return nil, fmt.Errorf("zip64 directory: %w", ErrNotOurs)
		}
		count, size, offset = int64(le.Uint64(big[32:])), int64(le.Uint64(big[40:])), int64(le.Uint64(big[48:]))
	}
	if offset < 0 || size < 0 || offset+size != stop || count < 0 || count > size/lenCentral {
		return nil, fmt.Errorf("the directory does not end where it should: %w", ErrNotOurs)
	}
	b, err := readAt(r, offset, size)
	if err != nil {
		return nil, err
	}
	entries := make([]*entry, 0, count)
	for range count {
		var e *entry
		if e, b, err = parseCentral(b); err != nil {
			return nil, err
		}
		if err := e.check(r, offset); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("bytes after the last entry of the directory: %w", ErrNotOurs)
	}
	return entries, nil
}

func readAt(r io.ReaderAt, offset, size int64) ([]byte, error) {
	b := make([]byte, size)
	if n, err := r.ReadAt(b, offset); int64(n) < size {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %d bytes at %d: %w", size, offset, err)
	}
	return b, nil
}

// parseCentral reads the first line of a directory and returns the others.
func parseCentral(b []byte) (*entry, []byte, error) {
	le := binary.LittleEndian
	bad := func(what string) (*entry, []byte, error) {
		return nil, nil, fmt.Errorf("directory: %s: %w", what, ErrNotOurs)
	}
	if len(b) < lenCentral || le.Uint32(b) != sigCentral {
		return bad("no entry where one should be")
	}
	e := &entry{crc: le.Uint32(b[16:]), size: int64(le.Uint32(b[20:])), raw: int64(le.Uint32(b[24:])), offset: int64(le.Uint32(b[42:]))}
	method, name, extra, comment := le.Uint16(b[10:]), int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	b = b[lenCentral:]
	if method != methodDeflate || len(b) < name+extra || comment != 0 {
		return bad("an entry of another kind")
	}
	e.name = string(b[:name])
	more, rest := b[name:name+extra], b[name+extra:]
	if len(more) > 0 {
		if len(more) < 4 || le.Uint16(more) != extraZip64 || int(le.Uint16(more[2:])) != len(more)-4 {
			return bad("an extra field of another kind")
		}
		more = more[4:]
	}
	for _, field := range []*int64{&e.raw, &e.size, &e.offset} {
		if *field != math.MaxUint32 {
			continue
		}
		if len(more) < 8 {
			return bad("a zip64 field is missing")
		}
		*field, more = int64(le.Uint64(more)), more[8:]
	}
	if len(more) != 0 || e.raw < 0 || e.size < 0 || e.offset < 0 {
		return bad("a zip64 field too many")
	}
	return e, rest, nil
}

// check compares the entry with its local header, which with its bytes must end before limit.
func (e *entry) check(r io.ReaderAt, limit int64) error {
	want := e.appendLocal(nil)
	if e.offset > limit-int64(len(want)) || e.size > limit-int64(len(want))-e.offset {
		return fmt.Errorf("entry %s reaches beyond the directory: %w", e.name, ErrNotOurs)
	}
	got, err := readAt(r, e.offset, int64(len(want)))
	if err != nil {
		return fmt.Errorf("entry %s: %w", e.name, err)
	}
	if string(got) != string(want) {
		return fmt.Errorf("entry %s differs from its directory line: %w", e.name, ErrNotOurs)
	}
	return nil
}

// data is where the entry's bytes begin.
func (e *entry) data() int64 {
	n := int64(lenLocal + len(e.name))
	if e.large() {
		n += int64(lenExtra(2))
	}
	return e.offset + n
}
