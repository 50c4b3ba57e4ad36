package minitds

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"time"
)

// Request is a batch, or a call of a procedure.
type Request struct {
	SQL       string  // the batch; for sp_executesql its statement
	Procedure string  // "" for a batch
	Declared  string  // sp_executesql's declaration of its parameters
	Params    []Param // of the call; those of sp_executesql after its first two
}

// Param is a parameter as it came over the wire.
type Param struct {
	Name  string // with its @
	Type  string // such as "bigint", "nvarchar(3)", "nvarchar(max)"
	Value any    // nil, bool, int64, float64, string, []byte, time.Time
}

// Param returns the parameter of this name; nil if there is none.
func (q *Request) Param(name string) *Param {
	for i := range q.Params {
		if q.Params[i].Name == name {
			return &q.Params[i]
		}
	}
	return nil
}

// afterHeaders skips ALL_HEADERS [MS-TDS] 2.2.5.3.
func afterHeaders(b []byte) ([]byte, error) {
	if len(b) < 4 || int(binary.LittleEndian.Uint32(b)) > len(b) {
		return nil, errPacket
	}
	return b[binary.LittleEndian.Uint32(b):], nil
}

// procedures that are called by number [MS-TDS] 2.2.6.6.
var procedures = map[uint16]string{10: "sp_executesql", 11: "sp_prepare", 12: "sp_execute", 13: "sp_prepexec", 15: "sp_unprepare"}

func parseRequest(m message) (q Request, err error) {
	b, err := afterHeaders(m.body)
	if err != nil {
		return q, err
	}
	if m.kind == msgBatch {
		return Request{SQL: fromUTF16(b)}, nil
	}
	defer func() {
		if p := recover(); p != nil { // an index out of range
			err = &Error{Number: 8009, Message: fmt.Sprint("The incoming tabular data stream (TDS) remote procedure call (RPC) protocol stream is incorrect: ", p)}
		}
	}()
	r := &reader{b: b}
	if n := r.u16(); n == 0xFFFF {
		q.Procedure = procedures[r.u16()]
	} else {
		q.Procedure = fromUTF16(r.take(2 * int(n)))
	}
	r.take(2) // flags
	for len(r.b) > 0 {
		name := fromUTF16(r.take(2 * int(r.u8())))
		r.take(1) // status
		typ, value := r.value()
		q.Params = append(q.Params, Param{Name: name, Type: typ, Value: value})
	}
	if q.Procedure == "sp_executesql" && len(q.Params) > 0 {
		q.SQL, _ = q.Params[0].Value.(string)
		if q.Params = q.Params[1:]; len(q.Params) > 0 {
			q.Declared, _ = q.Params[0].Value.(string)
			q.Params = q.Params[1:]
		}
	}
	return q, nil
}

// reader takes values off a request; what is too short panics, which parseRequest makes an error.
type reader struct{ b []byte }

func (r *reader) take(n int) []byte {
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() byte    { return r.take(1)[0] }
func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// value reads TYPE_INFO and a value [MS-TDS] 2.2.5.6, 2.2.5.5.
func (r *reader) value() (typ string, v any) {
	switch token := r.u8(); token {
	case 0x1F:
		return "null", nil
	case tokenNVarChar, tokenNChar, tokenVarChar, tokenChar, tokenVarBinary, tokenBinary:
		return r.long(token)
	case tokenIntN:
		size := r.u8()
		typ = map[byte]string{1: "tinyint", 2: "smallint", 4: "int", 8: "bigint"}[size]
		b := r.take(int(r.u8()))
		switch len(b) {
		case 1:
			v = int64(b[0])
		case 2:
			v = int64(int16(binary.LittleEndian.Uint16(b)))
		case 4:
			v = int64(int32(binary.LittleEndian.Uint32(b)))
		case 8:
			v = int64(binary.LittleEndian.Uint64(b))
		}
		return typ, v
	case tokenBitN:
		r.u8()
		if b := r.take(int(r.u8())); len(b) > 0 {
			v = b[0] != 0
		}
		return "bit", v
	case tokenFloatN:
		r.u8()
		switch b := r.take(int(r.u8())); len(b) {
		case 4:
			v = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case 8:
			v = math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		return "float", v
	case tokenDecimalN:
		r.u8()
		precision, scale := r.u8(), r.u8()
		if b := r.take(int(r.u8())); len(b) > 0 {
			v = decimalText(b, int(scale))
		}
		return fmt.Sprintf("decimal(%d,%d)", precision, scale), v
	case tokenDate:
		if b := r.take(int(r.u8())); len(b) > 0 {
			v = dayOne.AddDate(0, 0, dayNumber(b))
		}
		return "date", v
	case tokenDateTime2, tokenDateTimeOffset:
		scale := r.u8()
		b := r.take(int(r.u8()))
		typ = map[byte]string{tokenDateTime2: "datetime2", tokenDateTimeOffset: "datetimeoffset"}[token]
		if len(b) > 0 {
			n := timeSize(int(scale))
			var x [8]byte
			copy(x[:], b[:n])
			nanos := int64(binary.LittleEndian.Uint64(x[:])) * int64(math.Pow10(9-int(scale)))
			v = dayOne.AddDate(0, 0, dayNumber(b[n:])).Add(time.Duration(nanos))
		}
		return typ, v
	default:
		panic(fmt.Sprintf("a parameter of type %#x", token))
	}
}

// long reads a character or binary value of up to 65,534 bytes, or in chunks.
func (r *reader) long(token byte) (typ string, v any) {
	size := r.u16()
	text := token != tokenVarBinary && token != tokenBinary
	if text {
		r.take(len(collation))
	}
	var b []byte
	null := false
	if size == 0xFFFF {
		if null = r.u64() == math.MaxUint64; !null {
			for n := r.u32(); n > 0; n = r.u32() {
				b = append(b, r.take(int(n))...)
			}
		}
	} else if n := r.u16(); n == 0xFFFF {
		null = true
	} else {
		b = r.take(int(n))
	}
	wide := token == tokenNVarChar || token == tokenNChar
	typ = map[byte]string{tokenNVarChar: "nvarchar", tokenNChar: "nchar", tokenVarChar: "varchar", tokenChar: "char", tokenVarBinary: "varbinary", tokenBinary: "binary"}[token]
	switch {
	case size == 0xFFFF:
		typ += "(max)"
	case wide:
		typ += fmt.Sprintf("(%d)", size/2)
	default:
		typ += fmt.Sprintf("(%d)", size)
	}
	switch {
	case null:
		return typ, nil
	case wide:
		return typ, fromUTF16(b)
	case text:
		return typ, string(b)
	default:
		return typ, append([]byte{}, b...)
	}
}

// decimalText is a DECIMAL value [MS-TDS] 2.2.5.5.1.6 as text.
func decimalText(b []byte, scale int) string {
	big10 := make([]byte, len(b)-1)
	for i, c := range b[1:] {
		big10[len(big10)-1-i] = c
	}
	s := new(big.Int).SetBytes(big10).String()
	for len(s) <= scale {
		s = "0" + s
	}
	if scale > 0 {
		s = s[:len(s)-scale] + "." + s[len(s)-scale:]
	}
	if b[0] == 0 {
		s = "-" + s
	}
	return s
}
