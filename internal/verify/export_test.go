package verify

import (
	"bytes"
	"io"
)

// What the tests look at from outside.

func AppendDecimal(text string, scale int) string {
	return string(appendDecimal(nil, []byte(text), scale))
}

func Serial(kind Kind, text string) string {
	return string((&Column{Kind: kind}).appendSerial(nil, []byte(text)))
}

func Unescape(s string) string { return string(unescapeCell([]byte(s))) }

// ScanText is all text of an XML document, as the scanner reads it.
func ScanText(doc []byte) (string, error) {
	s := newXMLScanner(bytes.NewReader(doc))
	var out []byte
	for {
		ev, err := s.next()
		if err != nil {
			return "", err
		}
		switch ev {
		case xmlEOF:
			return string(out), nil
		case xmlText:
			out = append(out, s.text...)
		}
	}
}

// ReadCSV is CSV without a file.
func ReadCSV(r io.Reader, o CSVOptions) (Dataset, error) { return readCSV(r, o) }

// Cell is the canonical text of a workbook's cell.
func (c *Column) Cell(text string, isText bool) string {
	return string(c.excel(nil, []byte(text), isText, false))
}

// Canonical is the canonical text of a value that is written as text.
func (c *Column) Canonical(text string) string { return string(c.canonical(nil, []byte(text))) }
