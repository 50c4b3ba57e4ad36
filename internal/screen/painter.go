package screen

import (
	"strconv"
	"strings"
)

// Control sequences ([ECMA-48], DEC private modes as xterm has them). A terminal that does not know a private mode ignores it.
const (
	beginUpdate = "\x1b[?2026h" // what follows appears at once
	endUpdate   = "\x1b[?2026l"
	noWrap      = "\x1b[?7l" // a name that the terminal draws wider than we think is cut, and takes no second line
	autoWrap    = "\x1b[?7h"
	eraseLine   = "\x1b[K" // from the cursor to the end of the line
	eraseBelow  = "\x1b[J"
)

// painter keeps a frame at the bottom of a terminal. Between frames the cursor stands at the beginning of the line below, so that
// whatever ends the process leaves a usable terminal.
type painter struct {
	terminal Terminal
	look     look
	drawn    []int // widths of the lines on the terminal
}

// show writes text, whole lines, in place of the frame that is there, and frame below it, all in one Write.
func (p *painter) show(text []byte, frame []string) error {
	if len(text) == 0 && len(frame) == 0 && len(p.drawn) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString(beginUpdate)
	if up := p.height(); up > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(up) + "A")
	}
	b.WriteByte('\r')
	if len(text) > 0 || len(frame) == 0 {
		b.WriteString(eraseBelow)
	}
	b.Write(text)
	b.WriteString(noWrap)
	p.drawn = p.drawn[:0]
	for _, line := range frame {
		b.WriteString(line + eraseLine + "\r\n")
		p.drawn = append(p.drawn, visible(line))
	}
	b.WriteString(autoWrap + eraseBelow + endUpdate)
	_, err := p.terminal.Write([]byte(b.String()))
	return err
}

// height is the number of lines that the frame takes on the terminal. In a window that became narrower since it was drawn, lines that
// no longer fit take several.
func (p *painter) height() (lines int) {
	columns, _, err := p.terminal.Size()
	for _, w := range p.drawn {
		if lines++; err == nil && columns > 0 && w > columns {
			lines += (w - 1) / columns
		}
	}
	return lines
}

// visible is the width of a line without its control sequences.
func visible(line string) int {
	n := 0
	for {
		text, rest, ok := strings.Cut(line, "\x1b[")
		n += width(text)
		if !ok {
			return n
		}
		_, line, _ = strings.Cut(rest, "m")
	}
}
