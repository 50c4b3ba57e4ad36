package sinks

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"fanmill/pipeline"
)

const (
	// maxHeaderBytes is how far into a file its first line is looked for.
	maxHeaderBytes = 1 << 20
	byteOrderMark  = "\xef\xbb\xbf"
)

// inspect looks whether rows can follow what is in the file: the same columns in the same order, written the same way
// as far as that can be seen. All differences are named at once. Where the run has no schema the file's header is the
// header.
func (s *csvFile) inspect(r io.ReaderAt, size int64) error {
	seen, err := s.look(r, size)
	switch {
	case err != nil || seen.length == 0:
		return err
	case seen.quotes%2 != 0: // rows that follow an open quote would be read as one long field
		return s.refuse("it has a quote without its counterpart, so that it may be damaged; put that right first")
	}
	s.unended = seen.last != '\n'
	head := seen.head

	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	body, marked := bytes.CutPrefix(head, []byte(byteOrderMark))
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")):
		return s.refuse("it is UTF-16, and this destination writes UTF-8")
	case marked && !s.options.bom:
		problem(`it begins with a byte order mark ("bom": true)`)
	case !marked && s.options.bom:
		problem(`it does not begin with a byte order mark ("bom": false)`)
	}
	fields, end, ok := firstRecord(body, s.options.delimiter)
	if !ok && seen.length > maxHeaderBytes {
		return s.refuse("its first line is longer than %d bytes", maxHeaderBytes)
	}
	for name, text := range csvLineEnds {
		if end == text && s.options.lineEnd != text {
			problem(`its lines end with %s ("lineEnd": "%s")`, strings.ToUpper(name), name)
		}
	}
	other, separated := s.otherDelimiter(body, fields)
	if other != "" {
		problem(`its fields are separated by %q ("delimiter": %q)`, other, other)
		fields = separated
	}
	switch {
	case s.options.headers:
		if differs := s.compareHeader(fields); differs != "" {
			problem("%s", differs)
		}
	case other != "": // the right number of fields was a sign of it
	case s.table.header.names != nil && len(fields) != len(s.table.header.line(s.table.header.names)):
		problem("its lines have %d fields, and those of this run %d", len(fields), len(s.table.header.line(s.table.header.names)))
	default:
		s.table.header.width = len(fields)
	}
	if len(problems) > 0 {
		return s.refuse("%s", strings.Join(problems, "; "))
	}
	return nil
}

// firstRecord reads the fields of the first line and what ends it, "" at the end of the file. It is not ok where the
// text ends within it.
func firstRecord(text []byte, delimiter string) (fields []string, end string, ok bool) {
	for {
		field, rest := []byte(nil), text
		if bytes.HasPrefix(text, []byte{'"'}) {
			rest = text[1:]
			for {
				i := bytes.IndexByte(rest, '"')
				if i < 0 {
					return append(fields, string(text)), "", false
				}
				field, rest = append(field, rest[:i]...), rest[i+1:]
				if !bytes.HasPrefix(rest, []byte{'"'}) {
					break
				}
				field, rest = append(field, '"'), rest[1:]
			}
		}
		stop := len(rest)
		for _, mark := range []string{delimiter, "\r\n", "\n"} {
			if i := bytes.Index(rest[:stop], []byte(mark)); i >= 0 {
				stop = i
			}
		}
		fields = append(fields, string(append(field, rest[:stop]...)))
		switch rest = rest[stop:]; {
		case len(rest) == 0:
			return fields, "", false
		case bytes.HasPrefix(rest, []byte(delimiter)):
			text = rest[len(delimiter):]
		case rest[0] == '\r':
			return fields, "\r\n", true
		default:
			return fields, "\n", true
		}
	}
}

// otherDelimiter finds out whether the first line makes sense with another delimiter only, and its fields with that;
// "" if not.
func (s *csvFile) otherDelimiter(body []byte, fields []string) (delimiter string, separated []string) {
	want := s.table.header.names
	if s.options.headers && want != nil && slices.Equal(fields, s.fileNames(s.table.header.line(s.table.header.names))) {
		return "", nil
	}
	for _, d := range []string{",", ";", "\t", "|"} {
		if d == s.options.delimiter {
			continue
		}
		other, _, _ := firstRecord(body, d)
		switch {
		case len(other) < 2:
		case want != nil && s.options.headers && slices.Equal(other, s.fileNames(s.table.header.line(s.table.header.names))):
			return d, other
		case len(fields) == 1 && (want == nil || len(other) == len(s.table.header.line(s.table.header.names)) || s.options.headers && s.knowsAny(other)):
			return d, other
		}
	}
	return "", nil
}

// knowsAny reports whether one of the names is a column's of this run.
func (s *csvFile) knowsAny(names []string) bool {
	mine := s.fileNames(s.table.header.line(s.table.header.names))
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(mine, name) })
}

// fileNames are a header's names as the file has them.
func (s *csvFile) fileNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = s.format.guardName(name)
	}
	return out
}

// compareHeader says how the file's header differs from the run's; "" if it does not. Without a schema it takes the
// file's.
func (s *csvFile) compareHeader(fields []string) string {
	if s.table.header.names == nil {
		names := make([]string, len(fields))
		for i, field := range fields {
			names[i] = s.format.bareName(field)
		}
		if column := s.options.connection; column != "" {
			if names[0] != column {
				return fmt.Sprintf("its first column is %q, not %q, the connection's name (\"connectionColumn\")", names[0], column)
			}
			names = names[1:]
		}
		s.table.header.names = names
		return ""
	}
	want := s.fileNames(s.table.header.line(s.table.header.names))
	if slices.EqualFunc(want, fields, strings.EqualFold) {
		if name, unclear := s.table.header.unclear(); unclear {
			return fmt.Sprintf("%s stands more than once in its header, for different columns: which is which cannot be told", pipeline.ShowName(name))
		}
		return ""
	}
	if setOf(want) == setOf(fields) {
		return fmt.Sprintf("its columns stand in another order, %s, than this run's, %s (\"columns\": {\"...\": {\"order\": 1}})", pipeline.ShowNames(fields), pipeline.ShowNames(want))
	}
	var only []string
	for _, c := range []struct {
		label string
		of    []string
		but   []string
	}{{"only the file has ", fields, want}, {"only this run has ", want, fields}} {
		var names []string
		for _, name := range c.of {
			if !slices.Contains(c.but, name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			only = append(only, c.label+pipeline.ShowNames(names, c.but...))
		}
	}
	if len(only) == 0 { // the same names, one of them more often
		only = []string{fmt.Sprintf("it has %d, this run %d", len(fields), len(want))}
	}
	return "its columns differ: " + strings.Join(only, "; ")
}
