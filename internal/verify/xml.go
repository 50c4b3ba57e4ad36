package verify

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// xmlEvent is what the scanner found.
type xmlEvent uint8

const (
	xmlEOF xmlEvent = iota
	xmlStart
	xmlEnd
	xmlText
)

// xmlScanner reads XML in one pass with bounded memory, some ten times as fast as encoding/xml. It knows what worksheets
// have: elements, attributes, text, the predefined and numeric references; a document type or CDATA is an error. It checks
// that elements nest and end. Names keep their prefix.
type xmlScanner struct {
	r     *bufio.Reader
	tag   []byte // the tag found last, between < and >
	name  []byte // its name, after xmlStart and xmlEnd
	attrs []byte // its attributes, after xmlStart
	text  []byte // after xmlText: decoded, its line ends normalized as XML demands
	stack []string
	names map[string]string
	again bool // the tag was <x/>: its end comes next
}

func newXMLScanner(r io.Reader) *xmlScanner {
	return &xmlScanner{r: bufio.NewReaderSize(r, 64<<10), names: map[string]string{}}
}

// next finds the next event. Text that is only white space between elements is reported too.
func (s *xmlScanner) next() (xmlEvent, error) {
	if s.again {
		s.again = false
		return xmlEnd, s.pop()
	}
	for {
		c, err := s.r.ReadByte()
		if err == io.EOF {
			if len(s.stack) > 0 {
				return 0, fmt.Errorf("the XML ends inside <%s>", s.stack[len(s.stack)-1])
			}
			return xmlEOF, nil
		}
		if err != nil {
			return 0, err
		}
		if c != '<' {
			if err := s.r.UnreadByte(); err != nil {
				return 0, err
			}
			return xmlText, s.readText()
		}
		if err := s.readTag(); err != nil {
			return 0, err
		}
		switch {
		case len(s.tag) == 0:
			return 0, errors.New("the XML has an empty tag")
		case s.tag[0] == '?':
			continue
		case s.tag[0] == '!':
			if bytes.HasPrefix(s.tag, []byte("!--")) && bytes.HasSuffix(s.tag, []byte("--")) {
				continue
			}
			return 0, fmt.Errorf("the XML has <%.20s, which a worksheet does not", s.tag)
		case s.tag[0] == '/':
			s.name = s.tag[1:]
			for len(s.name) > 0 && xmlSpace(s.name[len(s.name)-1]) {
				s.name = s.name[:len(s.name)-1]
			}
			return xmlEnd, s.pop()
		}
		return xmlStart, s.push()
	}
}

func (s *xmlScanner) push() error {
	body, closed := bytes.CutSuffix(s.tag, []byte("/"))
	end := 0
	for end < len(body) && !xmlSpace(body[end]) {
		end++
	}
	s.name, s.attrs, s.again = body[:end], body[end:], closed
	name, ok := s.names[string(s.name)]
	if !ok {
		name = string(s.name)
		s.names[name] = name
	}
	s.stack = append(s.stack, name)
	return nil
}

func (s *xmlScanner) pop() error {
	if len(s.stack) == 0 || s.stack[len(s.stack)-1] != string(s.name) {
		return fmt.Errorf("the XML has </%s> where it does not belong", s.name)
	}
	s.stack = s.stack[:len(s.stack)-1]
	return nil
}

// readTag reads up to the > that ends a tag: one inside quotes does not.
func (s *xmlScanner) readTag() error {
	s.tag = s.tag[:0]
	var quote byte
	seen := 0
	for {
		chunk, err := s.r.ReadSlice('>')
		s.tag = append(s.tag, chunk...)
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF {
			return errors.New("the XML ends inside a tag")
		}
		if err != nil {
			return err
		}
		if bytes.HasPrefix(s.tag, []byte("!--")) { // a comment: quotes and > mean nothing in it
			if len(s.tag) >= len("!---->") && bytes.HasSuffix(s.tag, []byte("-->")) {
				s.tag = s.tag[:len(s.tag)-1]
				return nil
			}
			continue
		}
		for ; seen < len(s.tag); seen++ {
			switch c := s.tag[seen]; {
			case quote == 0 && (c == '"' || c == '\''):
				quote = c
			case c == quote:
				quote = 0
			}
		}
		if quote == 0 {
			s.tag = s.tag[:len(s.tag)-1]
			return nil
		}
	}
}

func (s *xmlScanner) readText() error {
	s.text = s.text[:0]
	for {
		chunk, err := s.r.ReadSlice('<')
		s.text = append(s.text, chunk...)
		if err == nil {
			s.text = s.text[:len(s.text)-1]
			if err = s.r.UnreadByte(); err != nil {
				return err
			}
			break
		}
		if err == io.EOF {
			break
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
	var err error
	s.text, err = decodeXML(s.text)
	return err
}

// decodeXML replaces references and normalizes line ends [XML 1.0] 2.11, in place.
func decodeXML(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("the XML is not UTF-8")
	}
	if err := checkChars(b); err != nil {
		return nil, err
	}
	i := 0
	for i < len(b) && b[i] != '&' && b[i] != '\r' {
		i++
	}
	out := b[:i]
	for i < len(b) {
		switch b[i] {
		case '\r':
			out = append(out, '\n')
			if i++; i < len(b) && b[i] == '\n' {
				i++
			}
		case '&':
			end := bytes.IndexByte(b[i:], ';')
			if end < 0 {
				return nil, errors.New("the XML has an & that begins no reference")
			}
			r, err := referenceRune(string(b[i+1 : i+end]))
			if err != nil {
				return nil, err
			}
			out = utf8.AppendRune(out, r) // never longer than the reference
			i += end + 1
		default:
			out = append(out, b[i])
			i++
		}
	}
	return out, nil
}

// checkChars refuses the bytes that XML 1.0 has no way to hold, which strict readers refuse too.
func checkChars(b []byte) error {
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return fmt.Errorf("the XML has the character %#02x, which XML does not allow", c)
		}
	}
	if bytes.Contains(b, []byte("\uFFFE")) || bytes.Contains(b, []byte("\uFFFF")) {
		return errors.New("the XML has U+FFFE or U+FFFF, which XML does not allow")
	}
	return nil
}

func referenceRune(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	base, digits := 10, ""
	if d, ok := strings.CutPrefix(name, "#x"); ok {
		base, digits = 16, d
	} else if d, ok := strings.CutPrefix(name, "#"); ok {
		digits = d
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) || n < ' ' && n != '\t' && n != '\n' && n != '\r' || n == 0xFFFE || n == 0xFFFF {
		return 0, fmt.Errorf("the XML has the reference &%s;, which stands for no character", name)
	}
	return rune(n), nil
}

// attr is the raw value of an attribute of the last start tag; nil if it has none of this name.
func (s *xmlScanner) attr(name string) []byte {
	rest := s.attrs
	for {
		rest = skipSpace(rest)
		eq := bytes.IndexByte(rest, '=')
		if eq < 0 {
			return nil
		}
		key := rest[:eq]
		for len(key) > 0 && xmlSpace(key[len(key)-1]) {
			key = key[:len(key)-1]
		}
		rest = skipSpace(rest[eq+1:])
		if len(rest) == 0 {
			return nil
		}
		end := bytes.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return nil
		}
		if string(key) == name {
			return rest[1 : 1+end]
		}
		rest = rest[end+2:]
	}
}

func xmlSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipSpace(b []byte) []byte {
	for len(b) > 0 && xmlSpace(b[0]) {
		b = b[1:]
	}
	return b
}
