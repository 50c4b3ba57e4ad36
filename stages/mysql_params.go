package stages

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"fanmill/pipeline"
)

// appendMySQLArgs appends the values of a statement's parameters as COM_STMT_EXECUTE has them [MySQL Internals,
// "COM_STMT_EXECUTE"]: a bit for each NULL, that types follow, the types, the values.
func appendMySQLArgs(dst []byte, args []pipeline.Arg) ([]byte, error) {
	if len(args) == 0 {
		return dst, nil
	}
	nulls := len(dst)
	dst = append(append(dst, make([]byte, (len(args)+7)/8)...), 1)
	types := len(dst)
	dst = append(dst, make([]byte, 2*len(args))...)
	for i, a := range args {
		var kind byte
		var err error
		switch a.Type {
		case pipeline.ArgNull:
			kind = mysqlNull
			dst[nulls+i/8] |= 1 << (i % 8)
		case pipeline.ArgBool:
			kind = mysqlTiny
			var v bool
			if v, err = strconv.ParseBool(a.Text); v {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
		case pipeline.ArgInt:
			kind = mysqlLongLong
			var v int64
			v, err = strconv.ParseInt(a.Text, 10, 64)
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		case pipeline.ArgDecimal:
			kind = mysqlDecimal
			if !plainNumber([]byte(a.Text)) {
				err = strconv.ErrSyntax
			}
			dst = appendCounted(dst, a.Text)
		case pipeline.ArgDate:
			kind = mysqlDate
			var day time.Time
			day, err = time.Parse(time.DateOnly, a.Text)
			dst = append(binary.LittleEndian.AppendUint16(append(dst, 4), uint16(day.Year())), byte(day.Month()), byte(day.Day()))
		case pipeline.ArgText:
			kind = mysqlVarString
			dst = appendCounted(dst, a.Text)
		default:
			err = fmt.Errorf("unknown type %q", a.Type)
		}
		if err != nil {
			return nil, pipeline.Permanent(fmt.Errorf("parameter %q: %q is not of type %s", a.Name, a.Text, a.Type))
		}
		dst[types+2*i] = kind
	}
	return dst, nil
}
