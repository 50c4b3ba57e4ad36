package sinks

import (
	"bytes"
	"strings"
	"time"
)

// csvFormat is how the fields of a file are written.
type csvFormat struct {
	delimiter string
	lineEnd   string
	nullText  string
	guard     bool
	quoting   csvQuoting
	location  *time.Location
	// inValues says that the text of a number, a date or another value that is no text may hold the delimiter or be
	// nullText.
	inValues bool
}

// endOfData alone on a line ends the input of PostgreSQL's COPY up to version 16; it is quoted, as COPY does itself.
const endOfData = `\.`

// plain reports whether texts are written as appendCSVText does: nothing is asked for but a delimiter.
func (f *csvFormat) plain() bool { return f.nullText == "" && !f.guard && f.quoting == quoteMinimal }

// appendText appends a text that is not NULL, and reports whether it had to be guarded. A number that is kept as text
// is given as such: it is quoted and guarded as numbers are.
func (f *csvFormat) appendText(dst, text []byte, number bool) (_ []byte, guarded bool) {
	guarded = f.guard && !number && len(text) > 0 && formulaStart(text[0])
	quoted := f.quoting == quoteAll || f.quoting == quoteNonNumeric && !number
	if !guarded && !quoted && !f.isNull(text) {
		return appendCSVText(dst, text, f.delimiter), false
	}
	if guarded && !quoted && (f.nullText == "" || f.nullText != "'"+string(text)) && f.delimiter != "'" && !needsQuotes(text, f.delimiter) {
		return append(append(dst, '\''), text...), true
	}
	dst = append(dst, '"')
	if guarded {
		dst = append(dst, '\'')
	}
	return append(appendEscaped(dst, text), '"'), guarded
}

// isNull reports whether a text would read as NULL.
func (f *csvFormat) isNull(text []byte) bool { return f.nullText != "" && string(text) == f.nullText }

// formulaStart reports whether a spreadsheet takes a text that begins so for a formula
// [OWASP, CSV Injection].
func formulaStart(c byte) bool {
	return c == '=' || c == '+' || c == '-' || c == '@' || c == '\t' || c == '\r'
}

// appendCSVText appends a text that is not NULL, with quotes if it needs them.
func appendCSVText(dst, text []byte, delimiter string) []byte {
	switch {
	case len(text) == 0:
		return append(dst, `""`...)
	case !needsQuotes(text, delimiter) && string(text) != endOfData:
		return append(dst, text...)
	}
	return append(appendEscaped(append(dst, '"'), text), '"')
}

// appendEscaped appends what stands between the quotes of a field.
func appendEscaped(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(append(dst, text[:i+1]...), '"')
		text = text[i+1:]
	}
}

// needsQuotes reports whether a text holds the delimiter, a quote or a line end.
func needsQuotes(text []byte, delimiter string) bool {
	return bytes.IndexByte(text, delimiter[0]) >= 0 && (len(delimiter) == 1 || bytes.Contains(text, []byte(delimiter))) ||
		bytes.IndexByte(text, '"') >= 0 || bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0
}

// guardName is a header's name as the file has it.
func (f *csvFormat) guardName(name string) string {
	if f.guard && name != "" && formulaStart(name[0]) {
		return "'" + name
	}
	return name
}

// bareName undoes guardName.
func (f *csvFormat) bareName(name string) string {
	if rest, ok := strings.CutPrefix(name, "'"); ok && f.guardName(rest) == name {
		return rest
	}
	return name
}

// appendHeader appends the header line. The only column of a file may have no name: the line is not empty for that.
func (f *csvFormat) appendHeader(dst []byte, names []string) []byte {
	from := len(dst)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, f.delimiter...)
		}
		switch {
		case f.quoting != quoteMinimal:
			dst = append(appendEscaped(append(dst, '"'), []byte(f.guardName(name))), '"')
		case name != "" || len(names) == 1:
			dst = appendCSVText(dst, []byte(f.guardName(name)), f.delimiter)
		}
	}
	return append(f.quoteSYLK(dst, from), f.lineEnd...)
}
