package screen_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mattn/go-runewidth"
)

// vt is a terminal as far as Progress uses one: it knows cursor movement, erasing, automatic wrapping and wide characters, and keeps what
// scrolls out at its top.
type vt struct {
	t *testing.T

	mu       sync.Mutex
	columns  int
	rows     int
	lines    [][]string // all there ever were; a wide character's second cell is ""
	top      int        // the first that is visible
	x, y     int
	wrapping bool
	wrapped  int // lines that went on in the next row
	writes   int
	raw      strings.Builder
}

func newVT(t *testing.T, columns, rows int) *vt {
	return &vt{t: t, columns: columns, rows: rows, lines: [][]string{nil}, wrapping: true}
}

// Size implements screen.Terminal.
func (v *vt) Size() (columns, rows int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.columns, v.rows, nil
}

// Write implements screen.Terminal.
func (v *vt) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writes++
	v.raw.Write(b)
	for text := string(b); text != ""; {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
			v.control(rest[:end], rest[end])
			text = rest[end+1:]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		v.put(r)
	}
	return len(b), nil
}

func (v *vt) control(args string, final byte) {
	switch {
	case final == 'm' || args == "?2026" && (final == 'h' || final == 'l'):
	case args == "?7" && final == 'h':
		v.wrapping = true
	case args == "?7" && final == 'l':
		v.wrapping = false
	case final == 'A':
		n := 0
		for _, d := range args {
			n = n*10 + int(d-'0')
		}
		v.y = max(v.y-n, v.top)
	case final == 'K' && args == "":
		v.lines[v.y] = v.lines[v.y][:min(v.x, len(v.lines[v.y]))]
	case final == 'J' && args == "":
		v.lines[v.y] = v.lines[v.y][:min(v.x, len(v.lines[v.y]))]
		v.lines = v.lines[:v.y+1]
	default:
		v.t.Errorf("unknown control sequence ESC [ %s %c", args, final)
	}
}

func (v *vt) put(r rune) {
	switch {
	case r == '\n': // a terminal returns the carriage as well
		v.x = 0
		v.down()
	case r == '\r':
		v.x = 0
	case r < ' ' || r == 0x7f:
		v.t.Errorf("control character %q reached the terminal", r)
	default:
		v.print(r)
	}
}

func (v *vt) print(r rune) {
	c := runewidth.Condition{StrictEmojiNeutral: true}
	w := c.RuneWidth(r)
	if w == 0 {
		if v.x > 0 && v.x <= len(v.lines[v.y]) {
			v.lines[v.y][v.x-1] += string(r)
		}
		return
	}
	if v.x+w > v.columns {
		if v.wrapping {
			v.wrapped++
			v.x = 0
			v.down()
		} else {
			v.x = v.columns - w
		}
	}
	for len(v.lines[v.y]) < v.x+w {
		v.lines[v.y] = append(v.lines[v.y], " ")
	}
	v.lines[v.y][v.x] = string(r)
	if w == 2 {
		v.lines[v.y][v.x+1] = ""
	}
	v.x += w
}

func (v *vt) down() {
	if v.y++; v.y == len(v.lines) {
		v.lines = append(v.lines, nil)
	}
	v.top = max(v.top, v.y-v.rows+1)
}

// resize makes the window narrower or wider; lines that no longer fit are broken, as terminals do.
func (v *vt) resize(columns int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var lines [][]string
	for i, l := range v.lines {
		if i == v.y {
			v.y = len(lines)
		}
		for len(l) > columns {
			lines, l = append(lines, slices.Clone(l[:columns])), l[columns:]
		}
		lines = append(lines, slices.Clone(l))
	}
	v.lines, v.columns = lines, columns
	v.top = max(v.top, v.y-v.rows+1)
}

// screen is what is visible.
func (v *vt) screen() string { return v.text(v.top) }

// transcript is what is visible and what has scrolled out.
func (v *vt) transcript() string { return v.text(0) }

func (v *vt) text(from int) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var b strings.Builder
	for _, l := range v.lines[from:] {
		b.WriteString(strings.TrimRight(strings.Join(l, ""), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
