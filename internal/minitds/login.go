package minitds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"unicode/utf16"
)

// Login is what a client said of itself in LOGIN7 [MS-TDS] 2.2.6.4.
type Login struct {
	User, Password, Database string
	App, Server, Host        string
	SSPI                     string // bytes; the first token of a Windows login; "" for one of SQL Server's
	ReadOnly                 bool   // ApplicationIntent=ReadOnly
	PacketSize               int    // asked for
	Encrypted                bool   // the login came through TLS
	TLS                      uint16 // version, 0 without
	Refused                  int32  // number of the error that was the answer; 0 if let in
}

// Offsets in LOGIN7.
const (
	loginPacketSize = 8
	loginTypeFlags  = 26
	loginHost       = 36
	loginUser       = 40
	loginPassword   = 44
	loginApp        = 48
	loginServer     = 52
	loginDatabase   = 68
	loginSSPI       = 78
	loginFixed      = 94

	typeFlagReadOnly = 0x20
)

var errLogin = errors.New("minitds: the login breaks the protocol")

func parseLogin(b []byte) (l Login, err error) {
	if len(b) < loginFixed {
		return l, errLogin
	}
	field := func(at int) []byte {
		off, n := int(binary.LittleEndian.Uint16(b[at:])), 2*int(binary.LittleEndian.Uint16(b[at+2:]))
		if off+n > len(b) {
			err = errLogin
			return nil
		}
		return b[off : off+n]
	}
	l = Login{Host: fromUTF16(field(loginHost)), User: fromUTF16(field(loginUser)), App: fromUTF16(field(loginApp)), Server: fromUTF16(field(loginServer)),
		Database: fromUTF16(field(loginDatabase)), ReadOnly: b[loginTypeFlags]&typeFlagReadOnly != 0, PacketSize: int(binary.LittleEndian.Uint32(b[loginPacketSize:]))}
	password := slices.Clone(field(loginPassword))
	for i, c := range password { // nibbles swapped, then XOR
		c ^= 0xA5
		password[i] = c<<4 | c>>4
	}
	l.Password = fromUTF16(password)
	off, n := int(binary.LittleEndian.Uint16(b[loginSSPI:])), int(binary.LittleEndian.Uint16(b[loginSSPI+2:])) // bytes
	if off+n > len(b) {
		return l, errLogin
	}
	l.SSPI = string(b[off : off+n])
	return l, err
}

// check is the server's verdict on a login; nil lets it in.
func (c *Config) check(l Login) *Error {
	if c.User != "" && (l.User != c.User || l.Password != c.Password) {
		return &Error{Number: 18456, State: 8, Class: 14, Message: "Login failed for user '" + l.User + "'."}
	}
	if len(c.Databases) > 0 && l.Database != "" && !slices.Contains(c.Databases, l.Database) {
		return &Error{Number: 4060, State: 1, Class: 11, Message: fmt.Sprintf("Cannot open database %q requested by the login. The login failed.", l.Database)}
	}
	return nil
}

// prelogin answers PRELOGIN and, if both sides want it, starts TLS. loginOnly tells that only the login is encrypted.
func (s *session) prelogin() (loginOnly bool, err error) {
	m, err := readMessage(s.r)
	if err != nil || m.kind != msgPrelogin {
		return false, errors.Join(err, errLogin)
	}
	client := EncryptNotSupported
	for at := 0; at+5 <= len(m.body) && m.body[at] != 0xFF; at += 5 {
		if m.body[at] == 1 { // ENCRYPTION
			if off := int(binary.BigEndian.Uint16(m.body[at+1:])); off < len(m.body) {
				client = Encryption(m.body[off])
			}
		}
	}
	answer := s.server.config.Encryption
	if answer == EncryptOff && client == EncryptOn {
		answer = EncryptOn
	}
	if client == EncryptNotSupported && answer != EncryptRequired {
		answer = EncryptNotSupported
	}
	major, minor := s.server.version()
	s.w.Write([]byte{
		0, 0, 11, 0, 6, // VERSION at 11
		1, 0, 17, 0, 1, // ENCRYPTION at 17
		0xFF,
		byte(major), byte(minor), 0x10, 0xCF, 0, 0,
		byte(answer),
	})
	if err := s.w.end(); err != nil {
		return false, err
	}
	if answer == EncryptNotSupported {
		return false, nil
	}
	if s.server.config.CutTLS {
		_, _, _, err = readPacket(s.net)
		return false, errors.Join(err, errLogin)
	}
	if s.tls, err = s.server.startTLS(s.net); err != nil {
		return false, err
	}
	s.use(s.tls)
	return answer == EncryptOff, nil
}

// login goes through PRELOGIN, TLS and LOGIN7; false means that the client is not in.
func (s *session) login() bool {
	loginOnly, err := s.prelogin()
	if err != nil {
		return false
	}
	m, err := readMessage(s.r)
	if err != nil || m.kind != msgLogin {
		return false
	}
	l, err := parseLogin(m.body)
	if err != nil {
		return false
	}
	if s.tls != nil {
		l.Encrypted, l.TLS = true, s.tls.ConnectionState().Version
	}
	if loginOnly {
		s.use(s.net)
	}
	w := &Response{session: s}
	if refused := s.server.config.check(l); refused != nil {
		l.Refused = refused.Number
		s.server.note(func(r *Record) { r.Logins = append(r.Logins, l) })
		w.error(refused)
		w.done(tokenDone, doneError, 0)
		_ = w.finish()
		return false
	}
	s.server.note(func(r *Record) { r.Logins = append(r.Logins, l) })
	database := l.Database
	if database == "" {
		database = "master"
	}
	size := min(max(l.PacketSize, 512), 32767)
	if s.tls != nil && !loginOnly {
		size = min(size, 16383)
	}
	w.environment(1, utf16Counted(database), utf16Counted("master"))
	w.info(&Error{Number: 5701, Class: 10, State: 2, Message: "Changed database context to '" + database + "'."})
	w.environment(7, append([]byte{5}, collation[:]...), []byte{0})
	w.environment(4, utf16Counted(strconv.Itoa(size)), utf16Counted("4096"))
	w.loginAck()
	if to := s.server.config.RouteTo; to != "" {
		w.route(to)
	}
	w.done(tokenDone, 0, 0)
	if w.finish() != nil {
		return false
	}
	s.w.size = size
	return true
}

// loginAck is LOGINACK [MS-TDS] 2.2.7.14: the server agrees to TDS 7.4.
func (w *Response) loginAck() {
	name := utf16Counted("Microsoft SQL Server")
	major, minor := w.session.server.version()
	b := []byte{tokenLoginAck}
	b = binary.LittleEndian.AppendUint16(b, uint16(1+4+len(name)+4))
	b = append(b, 1, 0x74, 0, 0, 4)
	b = append(b, name...)
	w.put(append(b, byte(major), byte(minor), 0x10, 0xCF))
}

// route is the ENVCHANGE that sends a client to another server [MS-TDS] 2.2.7.9, type 20.
func (w *Response) route(to string) {
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		return
	}
	n, _ := strconv.Atoi(port)
	name := toUTF16(host)
	data := binary.LittleEndian.AppendUint16([]byte{0}, uint16(n))
	data = binary.LittleEndian.AppendUint16(data, uint16(len(name)/2))
	data = append(data, name...)
	b := binary.LittleEndian.AppendUint16([]byte{tokenEnvChange}, uint16(1+2+len(data)+2))
	b = append(b, 20)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	w.put(append(append(b, data...), 0, 0))
}

func (s *Server) version() (major, minor int) {
	if s.config.Major == 0 {
		return 15, 0
	}
	return s.config.Major, s.config.Minor
}

func toUTF16(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func fromUTF16(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}

// utf16Counted is a B_VARCHAR: a byte that counts characters, then the characters.
func utf16Counted(s string) []byte {
	b := toUTF16(s)
	return append([]byte{byte(len(b) / 2)}, b...)
}
