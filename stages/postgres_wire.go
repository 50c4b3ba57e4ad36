package stages

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Messages of the server that a query can meet [PostgreSQL, "Message Formats"].
const (
	msgDataRow              = 'D'
	msgRowDescription       = 'T'
	msgCommandComplete      = 'C'
	msgReadyForQuery        = 'Z'
	msgErrorResponse        = 'E'
	msgNotice               = 'N'
	msgParameterStatus      = 'S'
	msgNotification         = 'A'
	msgParseComplete        = '1'
	msgBindComplete         = '2'
	msgNoData               = 'n'
	msgParameterDescription = 't'
	msgEmptyQuery           = 'I'
	msgNegotiateVersion     = 'v'
)

const (
	wireHeader = 5 // type and length
	// wireBuffer holds about a thousand rows: one system call reads as many as the socket has.
	wireBuffer = 256 << 10
	// wireLimit is the largest row that is accepted. PostgreSQL allows a gigabyte for each value; memory has to stay bounded.
	wireLimit = 256 << 20
	// wireText is the least length that four printable characters spell. A pooler whose server goes away in the middle of a row goes on
	// with an error message: its text then stands where a length is read.
	wireText = 0x20202020
)

// rowTooLarge is a message above wireLimit.
type rowTooLarge int

func (n rowTooLarge) Error() string {
	return fmt.Sprintf("a row of %d MB is larger than the %d MB that one row may have: leave its large columns out of the query", int(n)>>20, wireLimit>>20)
}

// wire reads messages out of one large buffer, without copying them.
type wire struct {
	src   io.Reader
	buf   []byte
	start int // of the next message
	end   int // of what was read
}

func newWire(src io.Reader) *wire { return &wire{src: src, buf: make([]byte, wireBuffer)} }

// next returns the next message; body is valid until the next call.
func (w *wire) next() (kind byte, body []byte, err error) {
	if w.end-w.start < wireHeader {
		if err := w.fill(wireHeader); err != nil {
			return 0, nil, err
		}
	}
	kind = w.buf[w.start]
	size := int(int32(binary.BigEndian.Uint32(w.buf[w.start+1:])))
	if size < 4 || size >= wireText {
		return 0, nil, fmt.Errorf("message %q of %d bytes breaks the protocol", kind, size)
	}
	if size > wireLimit {
		return 0, nil, rowTooLarge(size)
	}
	total := size + 1
	if w.end-w.start < total {
		if err := w.fill(total); err != nil {
			return 0, nil, err
		}
	}
	body = w.buf[w.start+wireHeader : w.start+total]
	w.start += total
	return kind, body, nil
}

// fill reads until n bytes are there.
func (w *wire) fill(n int) error {
	if n > len(w.buf) {
		buf := make([]byte, n+wireBuffer)
		w.end = copy(buf, w.buf[w.start:w.end])
		w.buf, w.start = buf, 0
	} else if w.start > 0 {
		w.end = copy(w.buf, w.buf[w.start:w.end])
		w.start = 0
	}
	for w.end < n {
		k, err := w.src.Read(w.buf[w.end:])
		if w.end += k; err != nil && w.end < n {
			if err == io.EOF {
				return io.ErrUnexpectedEOF // the server never ends a conversation by itself without a message
			}
			return err
		}
	}
	return nil
}
