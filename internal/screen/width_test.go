package screen_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	_ "fanmill/internal/sameseed"
	"fanmill/internal/screen"
)

// Widths are those that terminals give: measured by the position of the cursor in tmux, which is also VTE's.
func TestWidthIsTheTerminals(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "Branch_001": 10, "Filiale_Köln": 12, "支店_001": 8, "शाखा_दिल्ली": 10, "क्षि": 3, "கடை": 3, "สาขา": 4,
		"💾": 2, "👨\u200d👩\u200d👧": 2, "🇮🇳": 2, "e\u0301": 1, "…": 1, "━": 1, "⠹": 1,
		"▶️": 2, // one cell in tmux, two in newer terminals: the larger number counts
	} {
		if n := screen.Width(text); n != want {
			t.Errorf("%q takes %d cells, want %d", text, n, want)
		}
	}
}

// What is cut fits, is valid, and ends in the mark that says so.
func TestCutFits(t *testing.T) {
	for _, c := range []struct {
		text string
		w    int
		want string
	}{
		{"Branch_001", 10, "Branch_001"}, {"Branch_001", 9, "Branch_0…"}, {"Branch_001", 1, "…"}, {"Branch_001", 0, ""},
		{"支店_001", 4, "支…"}, {"शाखा_दिल्ली", 5, "शाखा…"}, {"क्षि", 2, "…"}, {"", 3, ""},
	} {
		if got := screen.Cut(c.text, c.w); got != c.want {
			t.Errorf("%q in %d cells is %q, want %q", c.text, c.w, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text, w := rapid.String().Draw(t, "text"), rapid.IntRange(0, 30).Draw(t, "w")
		got := screen.Cut(text, w)
		if screen.Width(got) > w || !utf8.ValidString(got) {
			t.Fatalf("%q in %d cells is %q, %d wide", text, w, got, screen.Width(got))
		}
		if got != text && w > 0 && !strings.HasSuffix(got, "…") {
			t.Fatalf("%q became %q without saying so", text, got)
		}
	})
}

// Wrapping loses nothing but the spaces at which it breaks, and no line is too wide.
func TestWrapKeepsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, w := screen.Clean(rapid.String().Draw(t, "text")), rapid.IntRange(2, 30).Draw(t, "w")
		lines := screen.Wrap(text, w)
		for _, l := range lines {
			if screen.Width(l) > w && utf8.RuneCountInString(l) > 1 {
				t.Fatalf("%q is wider than %d", l, w)
			}
		}
		squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if squeeze(strings.Join(lines, "")) != squeeze(text) {
			t.Fatalf("%q became %q", text, lines)
		}
	})
}

// Nothing that comes from outside moves the cursor, sets colours or turns the text around.
func TestCleanSpellsControlsOut(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "a\nb\tc\rd": `a\nb\tc\rd`, "\x1b[2J\x07": `\x1b[2J\x07`, "\u202eabc": `\u202eabc`, "\u009b1m": `\u009b1m`,
		"bad\xff": "bad\ufffd", "क्\u200dष": "क्\u200dष", "a\u2028b": `a\u2028b`, "\U000e0041": `\U000e0041`, "支店": "支店",
	} {
		if got := screen.Clean(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
