package screen

import (
	"strings"
	"time"

	"fanmill/pipeline/memory"
)

// look is how a frame is drawn.
type look struct {
	color bool
	plain bool // in ASCII where fonts may lack the better character
}

// idle is how long nothing may come of a query before its line says so instead of a rate.
const idle = 3 * time.Second

// Widths in cells.
const (
	minFrame    = 16 // narrower windows show nothing
	rowsWidth   = 15 // 99,999,999 rows
	rateWidth   = 16 // 9,999,999 rows/s
	tookWidth   = 7  // 59m 59s
	nameWidth   = 12 // at least, before a figure is left out
	maxName     = 60 // figures stand beside names, also in a wide window
	minBar      = 10
	maxBar      = 40
	narrowTotal = 60 // below, the total says 3/56 and not 3/56 connections
)

// frame is the screen of a run: at most a line less than the window is high, none wider than the window.
func (l look) frame(s *state, now time.Time, columns, rows int) (lines []string) {
	room := rows - 1
	if columns < minFrame || room < 1 {
		return nil
	}
	total := []string{l.total(s, now, columns)}
	if s.threshold > 0 && room > 1 {
		total = append(total, l.memory(s, columns))
	}
	// Half of a high window stays for log lines.
	room = min(room-len(total), max(8, rows/2))
	hidden := len(s.running) - room
	if hidden > 0 {
		room-- // for the line that says so
	}
	for i, r := range s.running {
		if r.phase == asked {
			r.pace.note(now, r.rows.Load())
		}
		if i < room {
			lines = append(lines, l.connection(s, r, now, columns))
		}
	}
	if hidden > 0 && room >= 0 {
		lines = append(lines, dim.in(cut("  and "+Count(int64(hidden+1))+" more", columns), l.color))
	}
	return append(lines, total...)
}

// connection is a connection's line: a sign of life, its name, and what is known: rows, rows/s, the time it took so
// far.
func (l look) connection(s *state, r *running, now time.Time, columns int) string {
	sign, st := l.spinner(now.Sub(s.began)), cyan
	if r.phase == retrying {
		sign, st = "!", yellow
	}
	name := r.name
	if r.attempt > 1 && r.phase != retrying {
		name += " (attempt " + Count(int64(r.attempt)) + ")"
	}
	room := columns - 2 // beside the sign
	if r.phase == retrying {
		why := "tried again after: " + r.trouble
		name = cut(name, max(nameWidth, room/2))
		return st.in(sign, l.color) + " " + name + yellow.in(cut("  "+why, room-width(name)), l.color)
	}
	rate, rateStyle := l.activity(s, r, now)
	figures := []cell{
		{pad(Of(r.rows.Load(), "row"), rowsWidth, true), plain},
		{pad(rate, rateWidth, true), rateStyle},
		{pad(clock(now.Sub(r.started)), tookWidth, true), dim},
	}
	tail, taken := "", 0
	for _, f := range figures {
		w := width(f.text) + gap
		if taken+w+nameWidth > room {
			break
		}
		taken += w
		tail += strings.Repeat(" ", gap) + f.style.in(f.text, l.color)
	}
	room = min(room-taken, maxName)
	return st.in(sign, l.color) + " " + pad(cut(name, room), room, false) + tail
}

// activity says how fast a connection's rows come, or why none do.
func (l look) activity(s *state, r *running, now time.Time) (string, style) {
	still := r.pace.still(now)
	switch {
	case r.phase == delivered:
		return "being written", dim
	case s.resident > s.threshold && s.threshold > 0:
		return "paused", yellow
	case still >= idle:
		return "none for " + clock(still), yellow
	case r.rows.Load() == 0:
		return "", plain
	}
	return Rate(r.pace.rate()), plain
}

// total is the line of the whole run. What matters least is left out first where it does not fit.
func (l look) total(s *state, now time.Time, columns int) string {
	count := Count(int64(s.ledger.done+s.ledger.missing)) + "/" + Count(int64(s.ledger.total))
	if columns >= narrowTotal {
		count += " connections"
	}
	missing := cell{style: red}
	if s.ledger.missing > 0 {
		missing.text = Count(int64(s.ledger.missing)) + " missing"
	}
	sealed, short := cell{style: yellow}, cell{style: yellow}
	if n := s.ledger.waiting(); n > 0 {
		short.text = Count(int64(n)) + " sealed"
		sealed.text = short.text + ", waiting to be sent"
	}
	rows := cell{text: Of(s.total(), "row")}
	elapsed := cell{text: clock(now.Sub(s.began)), style: dim}
	left := cell{text: l.left(s, now)}
	for _, parts := range [][]cell{
		{{text: count}, missing, sealed, rows, elapsed, left},
		{{text: count}, missing, sealed, rows, left},
		{{text: count}, missing, short, rows, left},
		{{text: count}, missing, short, left},
	} {
		text, w := l.join(parts)
		if room := columns - w - 1; room >= minBar {
			return l.bar(s, min(room, maxBar)) + " " + text
		}
	}
	for _, parts := range [][]cell{{{text: count}, missing, short, left}, {{text: count}, missing, short}, {{text: count}, missing}} {
		if text, w := l.join(parts); w <= columns {
			return text
		}
	}
	return cut(count, columns)
}

func (l look) join(parts []cell) (text string, w int) {
	for _, p := range parts {
		if p.text == "" {
			continue
		}
		if w > 0 {
			text, w = text+" · ", w+3
		}
		text, w = text+p.style.in(p.text, l.color), w+width(p.text)
	}
	return text, w
}

// left is the estimate of the remaining time, no more precise than it can be.
func (l look) left(s *state, now time.Time) string {
	d := s.remaining(now)
	switch {
	case d <= 0:
		return ""
	case d > 10*time.Minute:
		d = d.Round(time.Minute)
	case d > time.Minute:
		d = d.Round(5 * time.Second)
	default:
		d = max(d.Round(time.Second), time.Second)
	}
	text := strings.TrimSuffix(clock(d), " 00s")
	return "~" + text + " left"
}

// bar shows how many connections of all are over; the missing ones in red.
func (l look) bar(s *state, w int) string {
	done, missing, rest := "━", "━", "─"
	if !l.color {
		missing = "x"
	}
	total := max(s.ledger.total, 1)
	over := min(s.ledger.done+s.ledger.missing, total)
	all := over * w / total
	bad := 0
	if s.ledger.missing > 0 && all > 0 {
		bad = min(max(s.ledger.missing*w/total, 1), all)
	}
	return green.in(strings.Repeat(done, all-bad), l.color) + red.in(strings.Repeat(missing, bad), l.color) + dim.in(strings.Repeat(rest, w-all), l.color)
}

// memory is the line that users know from logs, and what follows from it.
func (l look) memory(s *state, columns int) string {
	text, st := memory.Line(s.resident, s.threshold), plain
	if s.resident > s.threshold {
		text, st = text+" · over the threshold, queries pause", yellow
	}
	return st.in(cut(text, columns), l.color)
}

// spinner is a sign of life at a time since the beginning.
func (l look) spinner(at time.Duration) string {
	signs := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	if l.plain {
		signs = []string{"|", "/", "-", `\`}
	}
	return signs[int(max(at, 0)/refresh)%len(signs)]
}
