package screen

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/pipeline/dead"
)

// LettersView lists dead requests, the oldest first. Its JSON is the list.
type LettersView struct {
	Letters []dead.Standing
	Job     string // whose they are; "" is all jobs'
}

func (v LettersView) data() any { return list(v.Letters) }

// shownKey is how much of a key tells dead requests apart in a list: 60 bits.
const shownKey = 12

func (v LettersView) text(s *sheet) {
	if len(v.Letters) == 0 {
		of := ""
		if v.Job != "" {
			of = " of job " + clean(v.Job)
		}
		s.line(0, plain, "no dead requests"+of+": no receiver has refused any that is not sent or dropped since")
		return
	}
	t := &table{columns: []column{{head: "Key", min: shownKey}, {head: "Job", min: 6}, {head: "Destination", min: 6}, {head: "Connection", min: 6}, {head: "Rows", right: true, spare: 2},
		{head: "Size", right: true, spare: 1}, {head: "Time", spare: 3}, {head: "State"}}}
	for i := range v.Letters {
		l := &v.Letters[i]
		r := t.add(cell{text: l.Key[:min(shownKey, len(l.Key))]}, cell{text: clean(l.Job)}, cell{text: clean(pipeline.WholeID(l.Destination))}, cell{text: clean(l.Connection)}, cell{text: Count(l.Rows)},
			cell{text: Size(l.Length)}, cell{s.when(l.Time), dim}, cell{clean(l.State), letterStyle(l.State)})
		r.note(letterStyle(l.State), oneLine(l.Error))
	}
	s.table(t, 0)
}

// letterStyle is how the state of a dead request stands out.
func letterStyle(state string) style {
	switch state {
	case dead.Refused, dead.Bodiless:
		return red
	case dead.Again, dead.Dropped:
		return cyan
	case dead.Settled:
		return dim
	}
	return yellow
}

// LetterView is one dead request with the beginning of its body.
type LetterView struct {
	dead.Letter
	State  string `json:"state"`
	Folder string `json:"folder"`
	Body   string `json:"body"` // its beginning, in printable form; unpacked if it is compressed with gzip
	More   bool   `json:"more"` // the body has more
}

func (v LetterView) data() any { return v }

func (v LetterView) text(s *sheet) {
	s.line(0, bold, "request "+v.Key)
	s.fact("state", clean(v.State), letterStyle(v.State))
	s.fact("error", oneLine(v.Error), letterStyle(v.State))
	if v.Status > 0 {
		s.fact("status", fmt.Sprint(v.Status), plain)
	}
	s.fact("answer", oneLine(v.Answer), plain)
	s.fact("time", s.when(v.Time), plain)
	s.fact("job", clean(v.Job), plain)
	s.fact("run", clean(v.Run), plain)
	s.fact("destination", clean(pipeline.WholeID(v.Destination)+", "+v.Where), plain)
	s.fact("connection", clean(v.Connection), plain)
	s.fact("request", fmt.Sprintf("%d of round %d, %s", v.Number, v.Round, Of(v.Rows, "row")), plain)
	body := Size(v.Length)
	for _, text := range []string{v.ContentType, v.Encoding} {
		if text != "" {
			body += ", " + clean(text)
		}
	}
	s.fact("body", body, plain)
	s.fact("sha256", clean(v.SHA256), plain)
	s.fact("folder", clean(v.Folder), plain)
	if v.Body == "" {
		return
	}
	s.blank()
	for line := range strings.Lines(v.Body) {
		s.line(2, plain, strings.TrimRight(line, "\n"))
	}
	if v.More {
		s.line(2, dim, "...")
	}
}

// shownBody is how many bytes of a body are shown as text, and hexBody how many of one that is none.
const (
	shownBody = 2 << 10
	hexBody   = 256
)

// Beginning is the beginning of a body in printable form, and whether there is more of it. encoding is that of its
// receiver's header: gzip is unpacked.
func Beginning(body io.Reader, encoding string) (text string, more bool) {
	if encoding == "gzip" {
		var packed bytes.Buffer
		z, err := gzip.NewReader(io.TeeReader(body, &packed))
		if err != nil {
			body = io.MultiReader(&packed, body)
		} else {
			body = z
		}
	}
	b := make([]byte, shownBody+1)
	n, _ := io.ReadFull(body, b) // what cannot be read is not shown
	more, b = n > shownBody, b[:min(n, shownBody)]
	for cut := len(b); more && cut > 0 && cut > len(b)-utf8.UTFMax; cut-- { // not in the middle of a character
		if utf8.RuneStart(b[cut-1]) {
			if !utf8.FullRune(b[cut-1:]) {
				b = b[:cut-1]
			}
			break
		}
	}
	if !utf8.Valid(b) {
		return hex.Dump(b[:min(len(b), hexBody)]), more || len(b) > hexBody
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', unicode.IsPrint(r):
			return r
		case r == '\r':
			return -1
		}
		return ' '
	}, string(b)), more
}
