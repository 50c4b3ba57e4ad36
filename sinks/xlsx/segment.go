package xlsx

import (
	"fmt"

	"fanmill/sinks/deflate"
)

// Segment is what was written of one sheet: pieces joined. Its fields are what the sheet's entry in a workbook needs,
// so that nothing is read again when it is appended.
type Segment struct {
	Sheet     int    `json:"sheet"`
	Length    int64  `json:"length"`    // bytes, compressed
	RawLength int64  `json:"rawLength"` // bytes of XML
	CRC32     uint32 `json:"crc32"`     // of the XML
	Rows      int64  `json:"rows"`      // data rows, without the header
}

// Segments are the sheets of one query in order; their bytes stand one after the other.
type Segments []Segment

// Add accounts for a piece written after all others: of the last sheet, or of the next one.
func (s *Segments) Add(p Piece) error {
	last := len(*s) - 1
	switch p.Sheet {
	case last + 1:
		*s = append(*s, Segment{Sheet: p.Sheet})
		last++
	case last:
	default:
		return fmt.Errorf("sheet %d: a piece of sheet %d comes out of order", last, p.Sheet)
	}
	t := &(*s)[last]
	t.CRC32 = deflate.CombineCRC(t.CRC32, p.CRC32, p.RawLength)
	t.Length += int64(len(p.Data))
	t.RawLength += p.RawLength
	t.Rows += p.Rows
	return nil
}

// Length is the number of bytes that all sheets take together.
func (s Segments) Length() (n int64) {
	for i := range s {
		n += s[i].Length
	}
	return n
}
