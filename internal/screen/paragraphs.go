package screen

import (
	"io"
	"strings"
)

// Paragraphs lays a text for people out in lines of at most w cells. Blank lines stand between paragraphs, whose own line ends do not
// count; lines that begin with a blank or a tab, such as commands, stay as they are. There is no line end behind the last line.
func Paragraphs(text string, w int) string {
	var lines []string
	flowing := "" // the paragraph under way
	end := func() {
		if flowing != "" {
			lines = append(lines, wrap(flowing, w)...)
		}
		flowing = ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "" || line[0] == ' ' || line[0] == '\t':
			end()
			lines = append(lines, line)
		case flowing == "":
			flowing = line
		default:
			flowing += " " + line
		}
	}
	end()
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// Message writes lines for people. On a terminal one that is too long goes on in further lines, indented, broken between words.
func Message(w io.Writer, text string) error {
	width := PageFor(w).Width
	_, err := io.WriteString(w, hanging(text, width))
	return err
}

func hanging(text string, w int) string {
	if w <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		words := strings.TrimLeft(strings.TrimSuffix(line, "\n"), " ")
		margin := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " ")))
		for i, l := range wrap(words, max(w-len(margin)-2, 1)) {
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(margin + l)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
