package xlsx

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The ZIP records that a workbook uses [APPNOTE 4.3]. Sizes are known before an entry is written, so there are no data
// descriptors; names are ASCII; the time is always ZIP's first, so that equal workbooks are equal bytes.
const (
	sigLocal      = 0x04034b50
	sigCentral    = 0x02014b50
	sigEnd        = 0x06054b50
	sigEnd64      = 0x06064b50
	sigLocator64  = 0x07064b50
	lenLocal      = 30
	lenCentral    = 46
	lenEnd        = 22
	lenEnd64      = 56
	lenLocator64  = 20
	extraZip64    = 1
	methodDeflate = 8
	version20     = 20
	version45     = 45       // zip64
	zipDate       = 1<<5 | 1 // 1980-01-01
)

// entry is one file of the archive.
type entry struct {
	name   string
	offset int64 // of its local header
	size   int64 // compressed
	raw    int64
	crc    uint32
}

// renamed is the entry under another name, a format for a number.
func (e *entry) renamed(format string, n int) *entry {
	out := *e
	out.name = fmt.Sprintf(format, n)
	return &out
}

func (e *entry) large() bool { return e.size >= math.MaxUint32 || e.raw >= math.MaxUint32 }

// appendLocal appends the header that stands before the entry's bytes.
func (e *entry) appendLocal(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, sigLocal)
	if e.large() {
		b = e.appendCommon(b, version45, math.MaxUint32, math.MaxUint32)
		b = append(le.AppendUint16(b, lenExtra(2)), e.name...)
		b = le.AppendUint16(le.AppendUint16(b, extraZip64), 16)
		return le.AppendUint64(le.AppendUint64(b, uint64(e.raw)), uint64(e.size))
	}
	b = e.appendCommon(b, version20, uint32(e.size), uint32(e.raw))
	return append(le.AppendUint16(b, 0), e.name...)
}

func lenExtra(fields int) uint16 { return uint16(4 + 8*fields) }

// appendCommon appends what local and central headers share, up to the length of the name.
func (e *entry) appendCommon(b []byte, version uint16, size, raw uint32) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, version)
	b = le.AppendUint16(b, 0) // flags
	b = le.AppendUint16(b, methodDeflate)
	b = le.AppendUint16(b, 0) // time
	b = le.AppendUint16(b, zipDate)
	b = le.AppendUint32(b, e.crc)
	b = le.AppendUint32(b, size)
	b = le.AppendUint32(b, raw)
	return le.AppendUint16(b, uint16(len(e.name)))
}

// appendCentral appends the entry's line of the directory.
func (e *entry) appendCentral(b []byte) []byte {
	le := binary.LittleEndian
	var extra []uint64 // in this order, those that do not fit [APPNOTE 4.5.3]
	size, raw, offset := uint32(e.size), uint32(e.raw), uint32(e.offset)
	if e.large() {
		size, raw = math.MaxUint32, math.MaxUint32
		extra = append(extra, uint64(e.raw), uint64(e.size))
	}
	if e.offset >= math.MaxUint32 {
		offset = math.MaxUint32
		extra = append(extra, uint64(e.offset))
	}
	version := uint16(version20)
	if len(extra) > 0 {
		version = version45
	}
	b = le.AppendUint32(b, sigCentral)
	b = le.AppendUint16(b, version) // made by
	b = e.appendCommon(b, version, size, raw)
	extraLength := uint16(0)
	if len(extra) > 0 {
		extraLength = lenExtra(len(extra))
	}
	b = le.AppendUint16(b, extraLength)
	b = le.AppendUint16(b, 0) // comment
	b = le.AppendUint16(b, 0) // disk
	b = le.AppendUint16(b, 0) // internal attributes
	b = le.AppendUint32(b, 0) // external attributes
	b = le.AppendUint32(b, offset)
	b = append(b, e.name...)
	if len(extra) > 0 {
		b = le.AppendUint16(le.AppendUint16(b, extraZip64), uint16(8*len(extra)))
		for _, v := range extra {
			b = le.AppendUint64(b, v)
		}
	}
	return b
}

// appendDirectory appends the central directory, which begins at offset, and the end records.
func appendDirectory(b []byte, entries []*entry, offset int64) []byte {
	le := binary.LittleEndian
	start := len(b)
	for _, e := range entries {
		b = e.appendCentral(b)
	}
	size := int64(len(b) - start)
	count := len(entries)
	if count >= math.MaxUint16 || size >= math.MaxUint32 || offset >= math.MaxUint32 {
		b = le.AppendUint32(b, sigEnd64)
		b = le.AppendUint64(b, lenEnd64-12) // what follows this field
		b = le.AppendUint16(le.AppendUint16(b, version45), version45)
		b = le.AppendUint64(b, 0) // disks
		b = le.AppendUint64(le.AppendUint64(b, uint64(count)), uint64(count))
		b = le.AppendUint64(le.AppendUint64(b, uint64(size)), uint64(offset))
		b = le.AppendUint32(le.AppendUint32(b, sigLocator64), 0) // disk
		b = le.AppendUint32(le.AppendUint64(b, uint64(offset+size)), 1)
	}
	b = le.AppendUint32(le.AppendUint32(b, sigEnd), 0) // disks
	short := uint16(min(count, math.MaxUint16))
	b = le.AppendUint16(le.AppendUint16(b, short), short)
	b = le.AppendUint32(b, uint32(min(size, math.MaxUint32)))
	b = le.AppendUint32(b, uint32(min(offset, math.MaxUint32)))
	return le.AppendUint16(b, 0) // comment
}
