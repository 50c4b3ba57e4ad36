package nats

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Headers of a frame's message.
const (
	headKind       = "Fanmill-Kind"
	headAttempt    = "Fanmill-Attempt"
	headFrame      = "Fanmill-Frame"
	headRows       = "Fanmill-Rows"
	headQuery      = "Fanmill-Query"
	headFragment   = "Fanmill-Fragment"   // "2/3", counted from one; absent if the batch is whole
	headConnection = "Fanmill-Connection" // for people; programs read the subject, which keeps every byte
	headType       = "Content-Type"
	headEncoding   = "Content-Encoding"

	typeJSON = "application/json"
)

// message spells a frame as a message of the row log. The body is not copied.
func (l *rowLog) message(f *pipeline.Frame) *nats.Msg {
	subject := pipeline.TopicRows(l.run, f.Connection)
	attempt, number := strconv.Itoa(f.Attempt), strconv.FormatUint(f.Number, 10)
	h := nats.Header{
		headKind:              {string(f.Kind)},
		headAttempt:           {attempt},
		headFrame:             {number},
		headConnection:        {f.Connection},
		headType:              {typeJSON},
		jetstream.MsgIDHeader: {messageID(subject, attempt, number)},
		// A publisher that outlived its generation must not write into the next one, which has the same subjects.
		jetstream.ExpectedStreamHeader: {l.id.Stream},
	}
	if f.Kind == pipeline.FrameRows {
		h[headType] = []string{columnar.ContentType}
		h[headRows] = []string{strconv.Itoa(f.Rows)}
		h[headQuery] = []string{strconv.Itoa(f.Query)}
		if f.Fragments > 1 {
			h[headFragment] = []string{strconv.Itoa(f.Fragment+1) + "/" + strconv.Itoa(f.Fragments)}
		}
	}
	unfenced(h, l.run, f.Connection, attempt)
	return &nats.Msg{Subject: subject, Header: h, Data: f.Body}
}

// storedSize is what the server counts for a message against MaxBytes [nats-server filestore.go, fileStoreMsgSize].
func storedSize(m *nats.Msg) int64 {
	n := 22 + len(m.Subject) + 4 + len("NATS/1.0\r\n\r\n") + len(m.Data) + 8
	for k, vs := range m.Header {
		for _, v := range vs {
			n += len(k) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(n)
}

// frame reads a message of the row log. What was not written by fanmill into this very log is pipeline.FrameForeign:
// without the headers, with those of another run, or in another place than it was written for.
func (l *rowLog) frame(seq uint64, subject string, h nats.Header, body []byte) *pipeline.Frame {
	f := &pipeline.Frame{Kind: pipeline.FrameKind(first(h, headKind)), Fragments: 1, Body: body, Seq: seq}
	read := l.readFrame
	if f.Kind == pipeline.FrameFence {
		read = l.readFence
	}
	if !read(f, subject, h) {
		return &pipeline.Frame{Kind: pipeline.FrameForeign, Connection: lastToken(subject), Body: body, Seq: seq}
	}
	return f
}

func lastToken(subject string) string {
	token := subject[strings.LastIndexByte(subject, '.')+1:]
	if id, ok := untoken(token); ok {
		return id
	}
	return token
}

// readFrame reads the headers of a frame, and reports whether they are what message writes.
func (l *rowLog) readFrame(f *pipeline.Frame, subject string, h nats.Header) (ok bool) {
	f.Connection = lastToken(subject)
	if pipeline.TopicRows(l.run, f.Connection) != subject || first(h, jetstream.ExpectedStreamHeader) != l.id.Stream ||
		first(h, jetstream.ExpectedLastSubjSeqHeader) == "" || first(h, headEncoding) != "" {
		return false
	}
	attempt, number := first(h, headAttempt), first(h, headFrame)
	if id := first(h, jetstream.MsgIDHeader); len(id) != len(subject)-len(rowsPrefix)+len(attempt)+len(number)+2 || id != messageID(subject, attempt, number) {
		return false
	}
	var err1, err2, err3, err4 error
	f.Attempt, err1 = strconv.Atoi(attempt)
	f.Number, err2 = strconv.ParseUint(number, 10, 64)
	if err1 != nil || err2 != nil || f.Attempt < 1 {
		return false
	}
	switch f.Kind {
	case pipeline.FrameRows:
	case pipeline.FrameOpen, pipeline.FrameEOF, pipeline.FrameFailed:
		return true
	default:
		return false
	}
	f.Rows, err3 = strconv.Atoi(first(h, headRows))
	f.Query, err4 = strconv.Atoi(first(h, headQuery))
	if first(h, headType) != columnar.ContentType || err3 != nil || err4 != nil || f.Rows < 0 || f.Query < 0 {
		return false
	}
	if v := first(h, headFragment); v != "" {
		i, n, _ := strings.Cut(v, "/")
		k, err1 := strconv.Atoi(i)
		var err error
		if f.Fragments, err = strconv.Atoi(n); err != nil || err1 != nil || k < 1 || k > f.Fragments {
			return false
		}
		f.Fragment = k - 1
	}
	return true
}

// messageID is the Nats-Msg-Id of a frame: what a retry stores is dropped while the server remembers the first, and
// answered as a success.
func messageID(subject, attempt, number string) string {
	return subject[len(rowsPrefix):] + "/" + attempt + "/" + number
}

// first is Header.Get without its search for other spellings.
func first(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// untoken is the inverse of pipeline.Token.
func untoken(t string) (string, bool) {
	if t == "=" {
		return "", true
	}
	if !strings.Contains(t, "=") {
		return t, t != ""
	}
	b := make([]byte, 0, len(t))
	for i := 0; i < len(t); i++ {
		if t[i] != '=' {
			b = append(b, t[i])
			continue
		}
		if i+2 >= len(t) {
			return "", false
		}
		var x [1]byte
		if _, err := hex.Decode(x[:], []byte(t[i+1:i+3])); err != nil {
			return "", false
		}
		b = append(b, x[0])
		i += 2
	}
	return string(b), true
}
