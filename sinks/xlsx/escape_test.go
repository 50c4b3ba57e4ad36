package xlsx_test

import (
	"encoding/xml"
	"regexp"
	"strconv"
	"testing"
	"unicode/utf8"

	"fanmill/sinks/xlsx"
)

var escapedChar = regexp.MustCompile(`_x[0-9A-Fa-f]{4}_`)

// readText reads element content as Excel does: XML first, then escaped characters.
func readText(content []byte) (string, error) {
	var text string
	if err := xml.Unmarshal([]byte("<t>"+string(content)+"</t>"), &text); err != nil {
		return "", err
	}
	return escapedChar.ReplaceAllStringFunc(text, func(s string) string {
		u, _ := strconv.ParseUint(s[2:6], 16, 16)
		return string(rune(u))
	}), nil
}

// FuzzText: every text comes back as it was; only bytes that are no characters change, and that is told.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "_x0041_", "\x00\x01\r\n\t", "\uFFFE\uFFFF\uFFFD", "_x005F_x0041_", "<&>\"'", "日本\x00_", "_x_x0041_", "\xef\xbf", "a\xffb\r",
		"_x0041\x01", "_x0041\uFFFF", "_x0041_x0042_", "\xed\xa0\x80", "]]>", "\xff\uFFFE_x0041\uFFFE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		content, ok := xlsx.AppendEscaped(nil, []byte(s))
		if ok != utf8.ValidString(s) {
			t.Errorf("%q: ok is %v", s, ok)
		}
		got, err := readText(content)
		if err != nil {
			t.Fatalf("%q became %q: %v", s, content, err)
		}
		if want := string([]rune(s)); got != want {
			t.Errorf("%q became %q, which reads %q", s, content, got)
		}
	})
}
