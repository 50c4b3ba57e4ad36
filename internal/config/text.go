package config

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// The small files that people write: jobs, inventories, .env, secrets. All are read here, however an editor or a
// shell of any system has saved them, as long as the file itself says how: UTF-8, and UTF-16 with a byte order mark,
// which PowerShell 5 writes. Nothing is guessed.

// maxSmallBytes bounds such a file: a job of 10,000 branches has a few MB. Whatever is larger is another file than
// was meant.
const maxSmallBytes = 64 << 20

// ReadText reads a small file as UTF-8 without a byte order mark. The error of a file that is no text is Problems.
func ReadText(path string) ([]byte, error) {
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	text, problem := decodeText(path, data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	return text, nil
}

// readSmall reads a file as it is.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSmallBytes+1))
	if err == nil && len(data) > maxSmallBytes {
		err = &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than %d MB; is another file meant?", maxSmallBytes>>20)}
	}
	return data, err
}

// decodeText is decode for a file whose text may be shown: a line that a parser would garble is named.
func decodeText(file string, data []byte) ([]byte, *Problem) {
	text, err := decode(data)
	if err != nil {
		return nil, &Problem{File: file, Line: err.line, Column: err.column, Text: err.cause + err.shown + "; save the file with the encoding UTF-8"}
	}
	return text, nil
}

// notText says where a file stops being text, and why.
type notText struct {
	position
	cause string
	shown string // more of it, which shows a byte of the file: not for secrets
}

// decode brings text to UTF-8 without a byte order mark.
func decode(data []byte) ([]byte, *notText) {
	start := func(cause string) *notText { return &notText{position: position{line: 1, column: 1}, cause: cause} }
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(data, []byte{0, 0, 0xfe, 0xff}):
		return nil, start("the file is UTF-32")
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		return fromUTF16(data[2:], binary.LittleEndian)
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return fromUTF16(data[2:], binary.BigEndian)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if at := bytes.IndexByte(data, 0); at >= 0 {
		why := "there is a NUL byte: this is no text, or UTF-16 without a byte order mark"
		if at > 1 && utf8.Valid(data[:at]) {
			why = "there is a NUL byte: this is no text, or a line of UTF-16 was appended, as PowerShell's >> does"
		}
		return nil, &notText{position: placeOf(data, at), cause: why}
	}
	if utf8.Valid(data) {
		return data, nil
	}
	at := 0
	for {
		r, n := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		at += n
	}
	bad := &notText{position: placeOf(data, at), cause: "this is not UTF-8"}
	if r := windows1252(data[at]); r != 0 {
		bad.shown = fmt.Sprintf(", but perhaps Windows-1252, where the byte 0x%X is %c", data[at], r)
	}
	return nil, bad
}

// fromUTF16 refuses what UTF-8 cannot hold, rather than to replace it.
func fromUTF16(data []byte, order binary.ByteOrder) ([]byte, *notText) {
	out := make([]byte, 0, len(data))
	for len(data) >= 2 {
		r, n := rune(order.Uint16(data)), 2
		if utf16.IsSurrogate(r) && len(data) >= 4 {
			r, n = utf16.DecodeRune(r, rune(order.Uint16(data[2:]))), 4
		}
		if utf16.IsSurrogate(r) || r == utf8.RuneError && n == 4 {
			return nil, &notText{position: placeOf(out, len(out)), cause: "the file is UTF-16, and half a character is here"}
		}
		if r == 0 {
			return nil, &notText{position: placeOf(out, len(out)), cause: "the file is UTF-16, and has a NUL character"}
		}
		out = utf8.AppendRune(out, r)
		data = data[n:]
	}
	if len(data) > 0 {
		return nil, &notText{position: placeOf(out, len(out)), cause: "the file is UTF-16, and ends in the middle of a character"}
	}
	return out, nil
}

// windows1252 is the letter of a byte over 0x7F; 0 if it has none.
func windows1252(b byte) rune {
	switch {
	case b >= 0xa0:
		return rune(b)
	case b >= 0x80:
		if r := []rune("€\x00‚ƒ„…†‡ˆ‰Š‹Œ\x00Ž\x00\x00‘’“”•–—˜™š›œ\x00žŸ")[b-0x80]; r != 0 {
			return r
		}
	}
	return 0
}

// unixLines are text's lines, each with its end as \n: the ends of one that has none but \r, as old Excels on a Mac
// save it, are those.
func unixLines(text []byte) []byte {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') < 0 {
		return text
	}
	return bytes.ReplaceAll(slices.Clone(text), []byte("\r"), []byte("\n"))
}

// plain is for a file whose text must not be shown.
func (n *notText) plain() error {
	return fmt.Errorf("line %d: %s; save it with the encoding UTF-8", n.line, n.cause)
}
