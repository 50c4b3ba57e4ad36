package notify_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"fanmill/internal/receiver"
)

// mailServer is an SMTP server of a test, as far as a client needs one.
type mailServer struct {
	t     *testing.T
	port  int
	ca    string
	tls   *tls.Config
	plain bool // it has no STARTTLS
	// implicit: it is encrypted from the beginning
	implicit bool
	size     int // SIZE

	mu     sync.Mutex
	script map[string][]string // answers to the next commands of a kind, such as "DATA": instead of its own
	mails  []sentMail
}

// sentMail is a mail that was taken.
type sentMail struct {
	from, auth string
	to         []string
	data       string
	encrypted  bool
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	authority, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	config, err := authority.Server(false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{t: t, port: l.Addr().(*net.TCPAddr).Port, ca: authority.PEM, tls: config, script: map[string][]string{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return s
}

// is sets the server up.
func (s *mailServer) is(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// says has the next command of a kind answered so.
func (s *mailServer) says(command string, answers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[command] = append(s.script[command], answers...)
}

func (s *mailServer) took() []sentMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]sentMail(nil), s.mails...)
}

func (s *mailServer) answer(command, usual string) (text string, scripted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.script[command]; len(all) > 0 {
		s.script[command] = all[1:]
		return all[0], true
	}
	return usual, false
}

func (s *mailServer) serve(c net.Conn) {
	s.mu.Lock()
	implicit, plain, size := s.implicit, s.plain, s.size
	s.mu.Unlock()
	wire := c
	defer func() { _ = wire.Close() }()
	var mail sentMail
	if implicit {
		c, mail.encrypted = tls.Server(c, s.tls), true
	}
	in := bufio.NewReader(c)
	say := func(text string) { _, _ = fmt.Fprintf(c, "%s\r\n", text) }
	line := func() (string, bool) {
		text, err := in.ReadString('\n')
		return strings.TrimRight(text, "\r\n"), err == nil
	}
	say("220 mail.example.com")
	for {
		text, ok := line()
		if !ok {
			return
		}
		verb := strings.ToUpper(strings.SplitN(text, " ", 2)[0])
		usual := "250 2.0.0 ok"
		switch verb {
		case "EHLO":
			list := []string{"mail.example.com", "ENHANCEDSTATUSCODES", "8BITMIME"}
			if !plain && !mail.encrypted {
				list = append(list, "STARTTLS")
			}
			if size > 0 {
				list = append(list, fmt.Sprintf("SIZE %d", size))
			}
			for _, l := range list {
				say("250-" + l)
			}
			usual = "250 AUTH PLAIN LOGIN XOAUTH2"
		case "STARTTLS":
			say("220 go on")
			secure := tls.Server(c, s.tls)
			c, in, mail.encrypted = secure, bufio.NewReader(secure), true
			continue
		case "AUTH":
			mail.auth = text
			if parts := strings.Fields(text); len(parts) == 3 {
				if plain, err := base64.StdEncoding.DecodeString(parts[2]); err == nil {
					mail.auth = parts[1] + " " + strings.NewReplacer("\x00", "|", "\x01", "|").Replace(string(plain))
				}
			}
			usual = "235 2.7.0 welcome"
		case "MAIL":
			mail.from, mail.to = text, nil
		case "RCPT":
			mail.to = append(mail.to, strings.Trim(text[len("RCPT TO:"):], "<>"))
		case "DATA":
			if scripted, is := s.answer("DATA", ""); is {
				say(scripted)
				continue
			}
			say("354 go on")
			var data strings.Builder
			for {
				text, ok := line()
				if !ok {
					return
				}
				if text == "." {
					break
				}
				data.WriteString(strings.TrimPrefix(text, ".") + "\r\n")
			}
			mail.data = data.String()
			text, scripted := s.answer("END", "250 2.0.0 queued as 7")
			if !scripted {
				s.mu.Lock()
				s.mails = append(s.mails, mail)
				s.mu.Unlock()
			}
			say(text)
			continue
		case "QUIT":
			say("221 bye")
			return
		}
		text, _ = s.answer(verb, usual)
		say(text)
	}
}
