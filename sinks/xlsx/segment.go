package xlsx

import "fmt"

// Segment is what was written of one sheet: pieces joined. Its fields are what the sheet's entry in a workbook needs, so
// that nothing is read again when it is appended.
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
	t.CRC32 = combineCRC(t.CRC32, p.CRC32, p.RawLength)
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

// crcPoly is the polynomial of CRC-32 (IEEE 802.3), bits reversed.
const crcPoly = 0xEDB88320

// combineCRC is the CRC-32 of two texts joined, given theirs and the second's length: the first CRC is moved on by as many
// zero bytes, which is multiplication by x^(8n) modulo the polynomial. Polynomials have their lowest power in the top bit.
func combineCRC(first, second uint32, secondLength int64) uint32 {
	if first == 0 {
		return second
	}
	power := uint32(1) << 23 // x^8, one byte
	for n := secondLength; n > 0; n >>= 1 {
		if n&1 != 0 {
			first = multiplyCRC(power, first)
		}
		power = multiplyCRC(power, power)
	}
	return first ^ second
}

// multiplyCRC multiplies two polynomials modulo crcPoly.
func multiplyCRC(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b = b>>1 ^ crcPoly*(b&1); a&(bit-1) == 0 {
			break
		}
	}
	return product
}
