package sheets

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mostTitle is Google's limit, in characters.
const mostTitle = 100

// shared is the connection in the mark of a tab that all connections share.
const shared = "*"

// title is that of the tab of a connection's table. Titles are given in the job's order: so a crash never changes one.
// A tab that is there keeps its title, also one that its reader gave it. A title that somebody else's tab has, or an
// earlier connection's, is continued with a number: what has no mark of ours is never touched.
func (b *batch) title(connection string, table int) string {
	d := b.d
	type of struct {
		connection string
		table      int
	}
	reserved, there := map[string]bool{}, map[of]bool{}
	for _, t := range b.tabs {
		reserved[strings.ToLower(t.title)] = true
		if t.mark != nil && !t.mark.hidden {
			there[of{t.mark.connection, t.mark.table}] = true
		}
	}
	if d.c.All != "" {
		return free(d.c.All, reserved)
	}
	for i, c := range d.c.Connections {
		for k, want := range c.Titles {
			if there[of{d.places[i].hash, k}] {
				continue
			}
			title := free(want, reserved)
			if d.places[i].hash == connection && k == table {
				return title
			}
			reserved[strings.ToLower(title)] = true
		}
	}
	return free(fmt.Sprintf("%s %d", connection, table+1), reserved)
}

func free(want string, reserved map[string]bool) string {
	want = strings.TrimSpace(want)
	if want == "" {
		want = "Sheet"
	}
	title := cutRunes(want, mostTitle)
	for n := 2; reserved[strings.ToLower(title)]; n++ {
		suffix := " (" + strconv.Itoa(n) + ")"
		title = cutRunes(want, mostTitle-len(suffix)) + suffix
	}
	return title
}

func cutRunes(s string, most int) string {
	for utf8.RuneCountInString(s) > most {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
