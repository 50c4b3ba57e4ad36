package stages_test

import (
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// serve answers every connection until the test ends.
func serve(t *testing.T, answer func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				answer(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// sha2Server is the server's side of a login, and nothing else.
type sha2Server struct {
	plugin, password string
	known            bool // the server has the password's hash in its cache
	switched         bool // it first greets with another way to log in
	key              *rsa.PrivateKey
	certificate      tls.Certificate
	answer           string // to every command; "" is an error

	mu    sync.Mutex
	heard string // all that came in clear
}

func (s *sha2Server) start(t *testing.T) string {
	return serve(t, func(conn net.Conn) {
		if err := s.login(&scriptConn{Conn: conn}); err != nil && !errors.Is(err, io.EOF) {
			t.Logf("script: %v", err)
		}
	})
}

// scriptConn reads and writes packets.
type scriptConn struct {
	net.Conn
	seq byte
}

func (c *scriptConn) read() ([]byte, error) {
	var h [4]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return nil, err
	}
	c.seq = h[3] + 1
	body := make([]byte, int(h[0])|int(h[1])<<8|int(h[2])<<16)
	_, err := io.ReadFull(c, body)
	return body, err
}

func (c *scriptConn) write(body string) error {
	_, err := c.Write(append([]byte{byte(len(body)), byte(len(body) >> 8), 0, c.seq}, body...))
	c.seq++
	return err
}

const (
	scriptNonce = "abcdefghijklmnopqrst"
	scriptOK    = "\x00\x00\x00\x02\x00\x00\x00"
	// long password, long flag, database, 4.1, TLS, transactions, 4.1 passwords; plugins, length of the proof, no EOF packets
	scriptCaps = 1 | 1<<2 | 1<<3 | 1<<9 | 1<<11 | 1<<13 | 1<<15 | 1<<19 | 1<<21 | 1<<24
)

func (s *sha2Server) login(c *scriptConn) error {
	plugin := s.plugin
	if s.switched {
		plugin = "mysql_native_password"
	}
	greeting := "\x0a8.0.36-script\x00\x07\x00\x00\x00" + scriptNonce[:8] + "\x00"
	greeting += string(binary.LittleEndian.AppendUint16(nil, scriptCaps&0xffff)) + "\xff\x02\x00" + string(binary.LittleEndian.AppendUint16(nil, scriptCaps>>16))
	greeting += "\x15" + strings.Repeat("\x00", 10) + scriptNonce[8:] + "\x00" + plugin + "\x00"
	if err := c.write(greeting); err != nil {
		return err
	}
	body, err := c.read()
	if err != nil {
		return err
	}
	secure := false
	if len(body) == 32 {
		encrypted := tls.Server(c.Conn, &tls.Config{Certificates: []tls.Certificate{s.certificate}})
		c.Conn, secure = encrypted, true
		if body, err = c.read(); err != nil {
			return err
		}
	}
	s.hear(secure, body)
	rest := body[32:]
	for len(rest) > 0 && rest[0] != 0 {
		rest = rest[1:] // the user's name
	}
	proof := string(rest[2 : 2+int(rest[1])])
	if s.switched {
		if err := c.write("\xfe" + s.plugin + "\x00" + scriptNonce + "\x00"); err != nil {
			return err
		}
		if body, err = c.read(); err != nil {
			return err
		}
		s.hear(secure, body)
		proof = string(body)
	}
	in, err := s.check(c, proof, secure)
	if err != nil {
		return err
	}
	if !in {
		return c.write("\xff\x15\x04#28000Access denied for user 'me'")
	}
	if err := c.write(scriptOK); err != nil {
		return err
	}
	answer := s.answer
	if answer == "" {
		answer = "\xff\x28\x04#42000this is only a script"
	}
	for {
		if body, err = c.read(); err != nil || body[0] == 1 {
			return err
		}
		if err := c.write(answer); err != nil {
			return err
		}
	}
}

func (s *sha2Server) hear(secure bool, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !secure {
		s.heard += string(body)
	}
}

// knows reports whether a text came in clear.
func (s *sha2Server) knows(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.heard, text)
}

// check decides as [MySQL Internals, "Authentication Methods"] has it.
func (s *sha2Server) check(c *scriptConn, proof string, secure bool) (bool, error) {
	plain := func(got []byte) bool { return string(got) == s.password+"\x00" }
	switch s.plugin {
	case "mysql_native_password":
		return proof == "", nil
	case "caching_sha2_password":
		if proof == "" {
			return s.password == "", nil
		}
		if s.known {
			// The server has SHA256(SHA256(password)) only: what the proof yields must hash to it.
			once := sha256.Sum256([]byte(s.password))
			stored := sha256.Sum256(once[:])
			salted := sha256.Sum256(append(stored[:], scriptNonce...))
			guess := []byte(proof)
			for i := range guess {
				guess[i] ^= salted[i]
			}
			if sha256.Sum256(guess) != stored {
				return false, nil
			}
			return true, c.write("\x01\x03")
		}
		if err := c.write("\x01\x04"); err != nil {
			return false, err
		}
		body, err := c.read()
		if err != nil || secure {
			return plain(body), err
		}
		if string(body) != "\x02" {
			return false, fmt.Errorf("the client sent %q for the public key", body)
		}
	case "sha256_password":
		if secure || proof == "\x00" {
			return plain([]byte(proof)), nil
		}
		if proof != "\x01" {
			return false, fmt.Errorf("the client sent %q for the public key", proof)
		}
	default:
		return false, nil
	}
	public, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		return false, err
	}
	if err := c.write("\x01" + string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))); err != nil {
		return false, err
	}
	body, err := c.read()
	if err != nil {
		return false, err
	}
	text, err := rsa.DecryptOAEP(sha1.New(), nil, s.key, body, nil)
	for i := range text {
		text[i] ^= scriptNonce[i%len(scriptNonce)]
	}
	return plain(text), err
}
