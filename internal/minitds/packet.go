package minitds

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

// Message types [MS-TDS] 2.2.3.1.1.
const (
	msgBatch       = 0x01
	msgRPC         = 0x03
	msgReply       = 0x04
	msgAttention   = 0x06
	msgTransaction = 0x0E
	msgLogin       = 0x10
	msgPrelogin    = 0x12
)

const (
	headerSize = 8
	statusEOM  = 0x01
)

// message is a client's message, put together from its packets.
type message struct {
	kind byte
	body []byte
}

var errPacket = errors.New("minitds: a packet breaks the protocol")

// readPacket reads one packet; last tells that it ends its message.
func readPacket(r io.Reader) (kind byte, body []byte, last bool, err error) {
	var h [headerSize]byte
	if _, err = io.ReadFull(r, h[:]); err != nil {
		return 0, nil, false, err
	}
	n := int(binary.BigEndian.Uint16(h[2:])) - headerSize
	if n < 0 {
		return 0, nil, false, errPacket
	}
	body = make([]byte, n)
	if _, err = io.ReadFull(r, body); err != nil {
		return 0, nil, false, err
	}
	return h[0], body, h[1]&statusEOM != 0, nil
}

func readMessage(r io.Reader) (message, error) {
	var m message
	for {
		kind, body, last, err := readPacket(r)
		if err != nil {
			return message{}, err
		}
		m.kind, m.body = kind, append(m.body, body...)
		if last {
			return m, nil
		}
	}
}

// packetWriter cuts what is written into packets of one message, and messages from each other by end.
type packetWriter struct {
	out    *bufio.Writer
	kind   byte
	size   int // of a packet, with its header
	packet []byte
	number byte
}

func newPacketWriter(w io.Writer, kind byte, size int) *packetWriter {
	return &packetWriter{out: bufio.NewWriterSize(w, 64<<10), kind: kind, size: size, packet: make([]byte, headerSize, 32<<10)}
}

func (p *packetWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if len(p.packet) == p.size {
			if err := p.send(0); err != nil {
				return 0, err
			}
		}
		room := min(p.size-len(p.packet), len(b))
		p.packet = append(p.packet, b[:room]...)
		b = b[room:]
	}
	return n, nil
}

// flush sends what is there, without ending the message.
func (p *packetWriter) flush() error {
	if len(p.packet) > headerSize {
		if err := p.send(0); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

// end sends the last packet of the message.
func (p *packetWriter) end() error {
	if err := p.send(statusEOM); err != nil {
		return err
	}
	p.number = 0
	return p.out.Flush()
}

func (p *packetWriter) send(status byte) error {
	p.number++
	h := p.packet[:headerSize]
	h[0], h[1], h[4], h[5], h[6], h[7] = p.kind, status, 0, 51, p.number, 0
	binary.BigEndian.PutUint16(h[2:], uint16(len(p.packet)))
	_, err := p.out.Write(p.packet)
	p.packet = p.packet[:headerSize]
	return err
}
