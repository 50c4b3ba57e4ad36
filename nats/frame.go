package nats

import (
	"encoding/hex"
	"fmt"
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
		headKind:       {string(f.Kind)},
		headAttempt:    {attempt},
		headFrame:      {number},
		headConnection: {f.Connection},
		headType:       {typeJSON},
		// What a retry stores is dropped while the server remembers the first, and answered as a success.
		jetstream.MsgIDHeader: {subject[len(rowsPrefix):] + "/" + attempt + "/" + number},
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

// frame reads a message of the row log.
func frame(seq uint64, subject string, h nats.Header, body []byte) (*pipeline.Frame, error) {
	f := &pipeline.Frame{Kind: pipeline.FrameKind(first(h, headKind)), Fragments: 1, Body: body, Seq: seq}
	fail := func(what string) (*pipeline.Frame, error) {
		return nil, pipeline.Permanent(fmt.Errorf("frame %d on %s: %s is not what fanmill writes", seq, subject, what))
	}
	var ok bool
	if f.Connection, ok = untoken(subject[strings.LastIndexByte(subject, '.')+1:]); !ok {
		return fail("the subject")
	}
	var err error
	if f.Attempt, err = strconv.Atoi(first(h, headAttempt)); err != nil {
		return fail(headAttempt)
	}
	if f.Number, err = strconv.ParseUint(first(h, headFrame), 10, 64); err != nil {
		return fail(headFrame)
	}
	if first(h, headEncoding) != "" {
		return fail(headEncoding)
	}
	switch f.Kind {
	case pipeline.FrameRows:
	case pipeline.FrameOpen, pipeline.FrameEOF, pipeline.FrameFailed:
		return f, nil
	default:
		return fail(headKind)
	}
	if first(h, headType) != columnar.ContentType {
		return fail(headType)
	}
	if f.Rows, err = strconv.Atoi(first(h, headRows)); err != nil || f.Rows < 0 {
		return fail(headRows)
	}
	if f.Query, err = strconv.Atoi(first(h, headQuery)); err != nil || f.Query < 0 {
		return fail(headQuery)
	}
	if v := first(h, headFragment); v != "" {
		i, n, _ := strings.Cut(v, "/")
		k, err1 := strconv.Atoi(i)
		if f.Fragments, err = strconv.Atoi(n); err != nil || err1 != nil || k < 1 || k > f.Fragments {
			return fail(headFragment)
		}
		f.Fragment = k - 1
	}
	return f, nil
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
