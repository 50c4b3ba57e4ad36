package stages

import "encoding/binary"

// mysqlReader takes a packet apart. What is missing is zero, and err says so in the end.
type mysqlReader struct {
	b    []byte
	fail bool
}

func (r *mysqlReader) err() error {
	if r.fail {
		return errMySQLShape
	}
	return nil
}

// bytes takes n bytes.
func (r *mysqlReader) bytes(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.fail = true
		return make([]byte, min(max(n, 0), 64))
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *mysqlReader) byte() byte     { return r.bytes(1)[0] }
func (r *mysqlReader) uint16() uint16 { return binary.LittleEndian.Uint16(r.bytes(2)) }
func (r *mysqlReader) uint32() uint32 { return binary.LittleEndian.Uint32(r.bytes(4)) }

// integer takes a length-encoded integer [MySQL Internals, "Protocol::LengthEncodedInteger"].
func (r *mysqlReader) integer() uint64 {
	first := r.byte()
	var b [8]byte
	switch first {
	case 0xfc:
		copy(b[:], r.bytes(2))
	case 0xfd:
		copy(b[:], r.bytes(3))
	case 0xfe:
		copy(b[:], r.bytes(8))
	case 0xfb, 0xff:
		r.fail = true
	default:
		b[0] = first
	}
	return binary.LittleEndian.Uint64(b[:])
}

// text takes a length-encoded string; ok is false for NULL.
func (r *mysqlReader) text() (v []byte, ok bool) {
	if len(r.b) > 0 && r.b[0] == 0xfb {
		r.b = r.b[1:]
		return nil, false
	}
	n := r.integer()
	if n > uint64(len(r.b)) {
		r.fail = true
		return nil, false
	}
	return r.bytes(int(n)), true
}

// zero takes a string up to its zero byte, or all that is left.
func (r *mysqlReader) zero() string {
	for i, c := range r.b {
		if c == 0 {
			s := string(r.b[:i])
			r.b = r.b[i+1:]
			return s
		}
	}
	s := string(r.b)
	r.b = nil
	return s
}

// appendLength appends a length-encoded integer.
func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 251:
		return append(dst, byte(n))
	case n < 1<<16:
		return append(dst, 0xfc, byte(n), byte(n>>8))
	case n < 1<<24:
		return append(dst, 0xfd, byte(n), byte(n>>8), byte(n>>16))
	default:
		return binary.LittleEndian.AppendUint64(append(dst, 0xfe), uint64(n))
	}
}

// appendCounted appends a length-encoded string.
func appendCounted(dst []byte, s string) []byte { return append(appendLength(dst, len(s)), s...) }
