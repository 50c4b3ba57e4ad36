package stages

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Capabilities that both sides announce [MySQL Internals, "Capabilities Flags"]. Reading files of ours for the server, several
// statements in one text and compression are not among them.
const (
	capLongPassword = 1 << 0 // all others know it; MariaDB takes it as MySQL's own flags
	capLongFlag     = 1 << 2
	capDatabase     = 1 << 3
	capProtocol41   = 1 << 9
	capTLS          = 1 << 11
	capTransactions = 1 << 13
	capSecure       = 1 << 15 // passwords as of version 4.1
	capMultiResults = 1 << 17
	capPlugins      = 1 << 19
	capAttributes   = 1 << 20
	capAuthLength   = 1 << 21
	capDeprecateEOF = 1 << 24

	capsWanted = capLongPassword | capLongFlag | capProtocol41 | capTransactions | capSecure | capMultiResults | capPlugins | capAttributes |
		capAuthLength | capDeprecateEOF
)

// utf8mb4GeneralCI is the number of a collation that every server has which knows utf8mb4.
const utf8mb4GeneralCI = 45

// errNoMySQLTLS is a server without encryption where the DSN asks for it.
var errNoMySQLTLS = errors.New("the server offers no encryption; tls=preferred connects without it then, and whoever is in between reads and changes everything")

// mysqlServer is what a server says of itself before anybody has logged in.
type mysqlServer struct {
	version string
	id      uint32 // of the connection
	caps    uint32
	nonce   []byte // to prove a password with
	plugin  string // the way to prove it that the server would like
}

// mysqlConnect dials and logs in. The whole takes as long as the target's timeout at most.
func mysqlConnect(ctx context.Context, t *mysqlTarget) (*mysqlWire, *mysqlServer, error) {
	limited, cancel := context.WithTimeoutCause(ctx, t.Timeout, fmt.Errorf("no answer within %v", t.Timeout))
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	conn, err := dialer.DialContext(limited, t.Net, t.Addr)
	if err != nil {
		return nil, nil, err
	}
	w := newMySQLWire(conn)
	stop := endWith(limited, conn)
	server, err := w.login(limited, t)
	if !stop() {
		err = context.Cause(limited)
	}
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return w, server, nil
}

// endWith makes what waits for conn fail once ctx has ended. stop ends that; it reports whether it came in time.
func endWith(ctx context.Context, conn net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// login speaks the connection phase [MySQL Internals, "Connection Phase"].
func (w *mysqlWire) login(ctx context.Context, t *mysqlTarget) (*mysqlServer, error) {
	body, err := w.answer()
	if errors.Is(err, errMySQLShape) {
		err = fmt.Errorf("what answers does not speak MySQL's protocol; are host and port right? (%w)", err)
	}
	if err != nil {
		return nil, err
	}
	server, err := parseGreeting(body)
	if err != nil {
		return nil, err
	}
	secure := t.Net == "unix"
	w.caps = capsWanted
	if t.DBName != "" {
		w.caps |= capDatabase
	}
	if t.TLS != nil && (server.caps&capTLS != 0 || !t.AllowFallbackToPlaintext) {
		if server.caps&capTLS == 0 {
			return nil, errNoMySQLTLS
		}
		w.caps |= capTLS
		secure = true
	}
	w.caps &= server.caps
	hello := binary.LittleEndian.AppendUint32(nil, w.caps)
	hello = binary.LittleEndian.AppendUint32(hello, mysqlPacketMax)
	hello = append(append(hello, utf8mb4GeneralCI), make([]byte, 23)...)
	if w.caps&capTLS != 0 {
		if err := w.send(hello); err != nil {
			return nil, err
		}
		encrypted := tls.Client(w.net, t.TLS)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		w.net, w.src = encrypted, encrypted
	}
	auth := mysqlAuth{plugin: server.plugin, nonce: server.nonce, password: t.Passwd, secure: secure, clear: t.AllowCleartextPasswords}
	proof, err := auth.first()
	if err != nil {
		return nil, err
	}
	hello = append(append(hello, t.User...), 0)
	if w.caps&capAuthLength != 0 {
		hello = appendLength(hello, len(proof))
	} else {
		hello = append(hello, byte(len(proof)))
	}
	hello = append(hello, proof...)
	if w.caps&capDatabase != 0 {
		hello = append(append(hello, t.DBName...), 0)
	}
	if w.caps&capPlugins != 0 {
		hello = append(append(hello, auth.plugin...), 0)
	}
	if w.caps&capAttributes != 0 {
		hello = appendCounted(hello, string(appendCounted(appendCounted(nil, "program_name"), "fanmill")))
	}
	if err := w.send(hello); err != nil {
		return nil, err
	}
	return server, w.prove(&auth)
}

// prove answers what the server asks until it lets us in or not.
func (w *mysqlWire) prove(auth *mysqlAuth) error {
	for switches := 0; ; {
		body, err := w.answer()
		if err != nil {
			return err
		}
		var reply []byte
		switch body[0] {
		case packetOK:
			return nil
		case packetEOF: // another way
			if switches++; switches > 2 || len(body) == 1 {
				return &mysqlAuthError{plugin: "mysql_old_password"}
			}
			r := mysqlReader{b: body[1:]}
			auth.plugin = r.zero()
			auth.nonce = append([]byte(nil), r.b...)
			if reply, err = auth.first(); err != nil {
				return err
			}
		case packetMore:
			var done bool
			if reply, done, err = auth.more(body[1:]); err != nil {
				return err
			}
			if done {
				continue
			}
		default:
			return errMySQLShape
		}
		if err := w.send(reply); err != nil {
			return err
		}
	}
}

// parseGreeting reads the packet that a server begins with [MySQL Internals, "Protocol::HandshakeV10"].
func parseGreeting(body []byte) (*mysqlServer, error) {
	if body[0] != 10 {
		return nil, fmt.Errorf("this server speaks version %d of MySQL's protocol, and only 10 can be read; are host and port right?", body[0])
	}
	r := mysqlReader{b: body[1:]}
	s := &mysqlServer{version: r.zero(), id: r.uint32()}
	s.nonce = append(s.nonce, r.bytes(8)...)
	r.bytes(1)
	s.caps = uint32(r.uint16())
	if r.fail || s.caps&capProtocol41 == 0 {
		return nil, errors.New("this server is older than MySQL 4.1, which cannot be read")
	}
	if len(r.b) == 0 {
		return s, nil
	}
	r.bytes(3) // collation, status
	s.caps |= uint32(r.uint16()) << 16
	length := int(r.byte())
	r.bytes(10)
	if s.caps&capSecure != 0 {
		s.nonce = append(s.nonce, r.bytes(min(max(13, length-8), len(r.b)))...)
	}
	if s.caps&capPlugins != 0 {
		s.plugin = r.zero()
	}
	return s, r.err()
}

// product names a server by the version that it gives. MariaDB before 11 puts 5.5.5- before it, for old replicas.
func (s *mysqlServer) product() string {
	version := s.version
	name := "MySQL"
	if strings.Contains(version, "MariaDB") {
		name, version = "MariaDB", strings.TrimPrefix(version, "5.5.5-")
	}
	version, _, _ = strings.Cut(version, "-")
	return name + " " + version
}
