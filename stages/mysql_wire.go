package stages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

// Commands of the protocol [MySQL Internals, "Command Phase"]; MariaDB's are the same.
const (
	comQuit        = 0x01
	comQuery       = 0x03
	comStmtPrepare = 0x16
	comStmtExecute = 0x17
)

// First bytes of a server's packets. A row of the binary protocol begins with packetOK.
const (
	packetOK    = 0x00
	packetMore  = 0x01 // more to exchange before a login is decided
	packetFile  = 0xfb // the server asks for a file of ours
	packetEOF   = 0xfe // the end of rows; while logging in: another way to prove the password
	packetError = 0xff
)

// Flags of the status that ends a result [MySQL, mysql_com.h].
const statusMoreResults = 0x0008

// mysqlPacketMax is the length of a packet that is continued by the next one.
const mysqlPacketMax = 1<<24 - 1

const mysqlHeader = 4 // length and sequence number

// errMySQLShape is an answer that this side does not understand.
var errMySQLShape = errors.New("the server's answer breaks the protocol")

// mysqlWire reads and writes packets [MySQL Internals, "MySQL Packets"].
type mysqlWire struct {
	*wire // the bytes read
	net   net.Conn
	seq   byte // of the next packet, in either direction
	caps  uint32
}

func newMySQLWire(conn net.Conn) *mysqlWire { return &mysqlWire{wire: newWire(conn), net: conn} }

// next returns the next packet; it is valid until the next call.
func (w *mysqlWire) next() ([]byte, error) {
	total, err := w.header(0)
	if err != nil {
		return nil, err
	}
	if total == mysqlHeader+mysqlPacketMax {
		return w.joined(total)
	}
	if w.end-w.start < total {
		if err := w.fill(total); err != nil {
			return nil, err
		}
	}
	body := w.buf[w.start+mysqlHeader : w.start+total : w.start+total]
	w.start += total
	return body, nil
}

// header reads the header that stands behind the first n bytes and returns where its packet ends.
func (w *mysqlWire) header(n int) (end int, err error) {
	if w.end-w.start < n+mysqlHeader {
		if err := w.fill(n + mysqlHeader); err != nil {
			return 0, err
		}
	}
	h := binary.LittleEndian.Uint32(w.buf[w.start+n:])
	if byte(h>>24) != w.seq {
		// An error that was sent before the server had read anything counts from 0.
		return 0, fmt.Errorf("packet %d came where %d was due: %w", h>>24, w.seq, errMySQLShape)
	}
	w.seq++
	return n + mysqlHeader + int(h&mysqlPacketMax), nil
}

// joined reads the packets that continue the one of which total bytes, with its header, are expected. The headers in between are
// taken out, so that the row lies in one piece.
func (w *mysqlWire) joined(total int) ([]byte, error) {
	for more := true; more; {
		end, err := w.header(total)
		if err != nil {
			return nil, err
		}
		more = end-total == mysqlHeader+mysqlPacketMax
		if end > wireLimit {
			return nil, rowTooLarge(end)
		}
		at := w.start + total
		w.end = at + copy(w.buf[at:], w.buf[at+mysqlHeader:w.end])
		total = end - mysqlHeader
		if w.end-w.start < total {
			if err := w.fill(total); err != nil {
				return nil, err
			}
		}
	}
	body := w.buf[w.start+mysqlHeader : w.start+total : w.start+total]
	w.start += total
	return body, nil
}

// send writes a packet, in as many pieces as its length needs.
func (w *mysqlWire) send(body []byte) error {
	for {
		n := min(len(body), mysqlPacketMax)
		piece := make([]byte, mysqlHeader, mysqlHeader+n)
		binary.LittleEndian.PutUint32(piece, uint32(n)|uint32(w.seq)<<24)
		w.seq++
		if _, err := w.net.Write(append(piece, body[:n]...)); err != nil {
			return err
		}
		body = body[n:]
		if n < mysqlPacketMax {
			return nil
		}
	}
}

// command begins a conversation.
func (w *mysqlWire) command(code byte, body []byte) error {
	w.seq = 0
	return w.send(append([]byte{code}, body...))
}

// answer is the next packet, or the error that it tells of.
func (w *mysqlWire) answer() ([]byte, error) {
	body, err := w.next()
	switch {
	case err != nil:
		return nil, err
	case len(body) == 0:
		return nil, errMySQLShape
	case body[0] == packetError:
		return nil, mysqlErrorPacket(body)
	}
	return body, nil
}

// isEnd reports whether a packet among rows or columns is the one behind the last [MySQL Internals, "EOF_Packet"]. A text row may
// begin with the same byte, but is then longer.
func isEnd(body []byte) bool { return body[0] == packetEOF && len(body) < mysqlPacketMax }

// moreResults reads from the packet behind the last row whether another result follows.
func (w *mysqlWire) moreResults(end []byte) (bool, error) {
	r := mysqlReader{b: end[1:]}
	if w.caps&capDeprecateEOF != 0 {
		r.integer() // rows affected
		r.integer() // last id
	} else {
		r.bytes(2) // warnings
	}
	status := r.uint16()
	return status&statusMoreResults != 0, r.err()
}

// columns reads n column definitions and the packet that ends them, if this server sends one.
func (w *mysqlWire) columns(n int) ([]mysqlField, error) {
	fields := make([]mysqlField, n)
	for i := range fields {
		body, err := w.answer()
		if err != nil {
			return nil, err
		}
		if fields[i], err = parseMySQLField(body); err != nil {
			return nil, err
		}
	}
	if n > 0 && w.caps&capDeprecateEOF == 0 {
		body, err := w.answer()
		if err != nil {
			return nil, err
		}
		if !isEnd(body) {
			return nil, errMySQLShape
		}
	}
	return fields, nil
}

// ask executes a statement and returns the values of the last row that it has, if it has any; NULL is "".
func (w *mysqlWire) ask(sql string) ([]string, error) {
	if err := w.command(comQuery, []byte(sql)); err != nil {
		return nil, err
	}
	body, err := w.answer()
	if err != nil {
		return nil, err
	}
	if body[0] == packetOK {
		return nil, nil
	}
	r := mysqlReader{b: body}
	n := int(r.integer())
	if body[0] == packetFile || n > 100 || r.err() != nil {
		return nil, errMySQLShape
	}
	if _, err := w.columns(n); err != nil {
		return nil, err
	}
	var row []string
	for {
		if body, err = w.answer(); err != nil {
			return nil, err
		}
		if isEnd(body) {
			return row, nil
		}
		row = row[:0]
		for r = (mysqlReader{b: body}); len(row) < n; {
			v, _ := r.text()
			row = append(row, string(v))
		}
		if r.err() != nil {
			return nil, r.err()
		}
	}
}
