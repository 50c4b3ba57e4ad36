package screen

// style is how a piece of text stands out. Nothing is said by colour alone.
type style string

// The styles, as parameters of SGR ([ECMA-48] 8.3.117).
const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// in writes text in a style.
func (st style) in(text string, color bool) string {
	if !color || st == plain || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}
