package stages

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// spoken is a connection on which a server says what it has to say, whatever it is told.
type spoken struct{ io.Reader }

func (spoken) Write(p []byte) (int, error)      { return len(p), nil }
func (spoken) Close() error                     { return nil }
func (spoken) LocalAddr() net.Addr              { return nil }
func (spoken) RemoteAddr() net.Addr             { return nil }
func (spoken) SetDeadline(time.Time) error      { return nil }
func (spoken) SetReadDeadline(time.Time) error  { return nil }
func (spoken) SetWriteDeadline(time.Time) error { return nil }

// packets is a conversation's side of the server: each packet has its number, from 0 again for each command. A packet
// that is nil ends the answer to one.
func packets(bodies ...[]byte) (all []byte) {
	seq := byte(0)
	for _, b := range bodies {
		if b == nil {
			seq = 1
			continue
		}
		all = append(append(all, byte(len(b)), byte(len(b)>>8), byte(len(b)>>16), seq), b...)
		if seq++; seq == 1 {
			seq++ // the client's answer to the greeting
		}
	}
	return all
}

// Whatever a server, or what stands in its place, says from its greeting to the end of a result: it is understood or
// refused. Nothing reads past what was sent, and nothing waits for more than that.
func FuzzMySQLServer(f *testing.F) {
	ok := []byte{0, 0, 0, 2, 0, 0, 0}
	end := []byte{0xfe, 0, 0, 2, 0, 0, 0}
	column := []byte("\x03def\x01s\x01t\x01t\x01n\x01n\x0c\x21\x00\x0b\x00\x00\x00\x03\x00\x00\x00\x00\x00")
	text := []byte("\x03def\x00\x00\x00\x01v\x00\x0c\x21\x00\x0b\x00\x00\x00\xfd\x00\x00\x00\x00\x00")
	greeting := func(plugin string) []byte {
		return []byte("\x0a8.0.36\x00\x07\x00\x00\x00abcdefgh\x00\xff\xff\x2d\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00" + plugin + "\x00")
	}
	session := [][]byte{
		ok, nil, ok, nil, {2}, text, text, []byte("\x04here\x00"), end, nil, ok, nil, // SET, who are you, START
		{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, column, nil, // prepare
		{1}, column, {0, 0, 7, 0, 0, 0}, {0, 4}, end, // execute
	}
	for _, plugin := range []string{"mysql_native_password", "caching_sha2_password"} {
		f.Add(packets(append([][]byte{greeting(plugin)}, session...)...))
	}
	f.Add(packets(append([][]byte{greeting("caching_sha2_password"), {1, 3}}, session...)...))
	f.Add(packets(greeting("x"), []byte("\xfeclient_ed25519\x0001234567890123456789012345678901"), ok))
	f.Add(packets([]byte("\xff\x15\x04#28000Access denied")))
	f.Fuzz(func(t *testing.T, said []byte) {
		conn := spoken{bytes.NewReader(said)}
		target := &mysqlTarget{Config: &mysql.Config{User: "u", Passwd: "secret", Net: "tcp"}}
		w := newMySQLWire(conn)
		server, err := w.login(t.Context(), target)
		if err != nil {
			return
		}
		s := &mysqlSession{target: target, wire: w, server: server, queries: []pipeline.Query{{SQL: "select n from t"}}}
		if _, err := s.setUp(pipeline.Request{}); err != nil {
			return
		}
		_ = s.Server()
		rows := 0
		_ = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), func(*columnar.Builder) bool { return true }, func(b *columnar.Builder) error {
			rows += b.Rows()
			err := b.Check()
			if err != nil {
				t.Error(err)
			}
			b.Reset()
			return err
		})
		if rows > len(said) {
			t.Errorf("%d rows of %d bytes", rows, len(said))
		}
	})
}

// A CALL that is cancelled behind its rows ends with an error, and nothing follows that.
func TestMySQLCallCancelledBehindItsRows(t *testing.T) {
	said := packets(nil, []byte{0, 0, 1}, []byte{0xfe, 0, 0, 0x0a, 0, 0, 0}, []byte("\xff\x25\x05#70100Query execution was interrupted"))
	s := &mysqlSession{wire: newMySQLWire(spoken{bytes.NewReader(said)}), running: true}
	s.wire.seq = 1
	if err := s.drain(); err != nil || s.running {
		t.Errorf("it is waited for further: %v", err)
	}
}
