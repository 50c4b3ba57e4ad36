package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fanmill/pipeline"
)

// message is a notice in words, the same for every kind. Its texts have one line each.
type message struct {
	title   string
	facts   []fact
	missing []fact // connections, and why
	more    int
	// changes are connections that changed more than usual.
	changes     []fact
	moreChanges int
	places      []fact // destinations, and where their rows are
	// morePlaces is how many destinations are not in places.
	morePlaces int
	footer     string
	bad        bool
}

type fact struct{ name, text string }

// How long the texts of a message are at most, in characters.
const (
	maxName  = 80
	maxTitle = 140
	maxText  = 300
)

func newMessage(n *pipeline.Notice) *message {
	m := &message{bad: n.Event.Bad(), more: n.More}
	m.title = oneLine(titleOf(n), maxTitle)
	if n.Sample {
		m.facts = append(m.facts, fact{"Test", "this is a sample: nothing has happened"})
	}
	add := func(name, text string) {
		if text != "" {
			m.facts = append(m.facts, fact{name, oneLine(text, maxText)})
		}
	}
	add("Job", n.Job)
	add("Run", n.Run)
	if n.State != "" {
		add("State", string(n.State))
	}
	add("Time", times(n))
	if n.Connections > 0 {
		text := fmt.Sprintf("%s of %s complete", number(int64(n.Complete)), number(int64(n.Connections)))
		if n.Selected {
			text += " (chosen by who asked for the run)"
		}
		add("Connections", text)
	}
	if doubts := len(n.Doubts) + n.MoreDoubts; n.Verified > 0 || doubts > 0 {
		text := number(int64(n.Verified)) + " verified"
		if doubts > 0 {
			text += ", " + number(int64(doubts)) + " not"
		}
		add("Control totals", text)
	}
	if len(n.Places) > 0 {
		add("Rows", number(n.Rows)+beside(n))
	}
	for _, c := range n.Missing {
		m.missing = append(m.missing, fact{oneLine(c.Name, maxName), oneLine(c.Why, maxText)})
	}
	for _, c := range n.Doubts {
		m.missing = append(m.missing, fact{oneLine(c.Name, maxName), oneLine("delivered, and "+c.Why, maxText)})
	}
	m.more += n.MoreDoubts
	for _, c := range n.Changes {
		m.changes = append(m.changes, fact{oneLine(c.Name, maxName), oneLine(c.Why, maxText)})
	}
	m.moreChanges = n.MoreChanges
	for _, p := range n.Places {
		m.places = append(m.places, fact{oneLine(p.Destination, maxName), oneLine(placeText(&p), maxText)})
	}
	m.footer = "fanmill, " + clock(n, n.At)
	return m
}

func titleOf(n *pipeline.Notice) string {
	name := oneLine(n.JobName, maxName)
	missing := len(n.Missing) + n.More
	switch n.Event {
	case pipeline.NoticePartial:
		if doubts := len(n.Doubts) + n.MoreDoubts; missing == 0 && doubts > 0 {
			return fmt.Sprintf("%s: partial, the control totals of %s do not agree", name, counted(doubts, "connection"))
		}
		if missing == 0 {
			return name + ": partial, a destination is missing"
		}
		return fmt.Sprintf("%s: partial, %s of %s missing", name, number(int64(missing)), counted(n.Connections, "connection"))
	case pipeline.NoticeFailed:
		return name + ": failed, nothing was delivered"
	case pipeline.NoticeRecovered:
		return name + ": complete again"
	case pipeline.NoticeLate:
		return fmt.Sprintf("%s: late, not complete by %s", name, n.Late)
	}
	return name + ": complete"
}

// times says when a run began and ended, in the job's time zone.
func times(n *pipeline.Notice) string {
	switch {
	case n.Started.IsZero():
		return ""
	case n.Ended.IsZero():
		return "began " + clock(n, n.Started) + ", and goes on"
	}
	return clock(n, n.Started) + " to " + clock(n, n.Ended) + ", took " + n.Ended.Sub(n.Started).Round(time.Second).String()
}

func clock(n *pipeline.Notice, at time.Time) string {
	zone, err := time.LoadLocation(n.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	return at.In(zone).Format("2006-01-02 15:04:05 MST")
}

// beside says what the run before had.
func beside(n *pipeline.Notice) string {
	l := n.Last
	if l == nil {
		return ""
	}
	change := ""
	if l.Rows > 0 {
		change = fmt.Sprintf(", %+.1f %%", 100*float64(n.Rows-l.Rows)/float64(l.Rows))
	}
	return fmt.Sprintf(" (the run before, %s of %s: %s%s)", l.State, clock(n, l.Ended), number(l.Rows), change)
}

func placeText(p *pipeline.NoticePlace) string {
	text := p.Where
	if p.Host != "" {
		text += " on " + p.Host
	}
	var of []string
	if p.Files > 0 {
		of = append(of, counted(p.Files, "file"))
	}
	of = append(of, number(p.Rows)+" rows")
	if p.Bytes > 0 {
		of = append(of, size(p.Bytes))
	}
	if p.State != pipeline.RecordFinished {
		of = append(of, string(p.State))
	}
	text += " (" + strings.Join(of, ", ") + ")"
	if p.Error != "" {
		text += ": " + p.Error
	}
	return text
}

// counted is a number of things: 1 file, 56 connections.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return number(int64(n)) + " " + what
}

// number has a comma between thousands.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	begin := 0
	if n < 0 {
		begin = 1
	}
	for i := len(digits) - 3; i > begin; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// size is a number of bytes as people read it.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// oneLine is a text as it may stand anywhere: without control characters, line ends of any kind, and characters that
// turn the direction of what follows; of so many characters at most.
func oneLine(text string, most int) string {
	var b strings.Builder
	count, blank := 0, false
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			blank = b.Len() > 0
			continue
		case turns(r):
			continue
		}
		if blank {
			b.WriteByte(' ')
			count++
			blank = false
		}
		if count++; count > most {
			return strings.TrimRight(b.String(), " ") + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

// turns reports whether a character changes the direction of others, or is a mark that nobody sees. Joiners stay:
// Indian scripts need them.
func turns(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0xfeff
}

// plain is the whole message as lines of text.
func (m *message) plain() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s\n", m.title)
	for _, f := range m.facts {
		line("%s: %s", f.name, f.text)
	}
	list := func(title string, facts []fact, more int) {
		if len(facts)+more == 0 {
			return
		}
		line("\n%s:", title)
		for _, f := range facts {
			line("- %s", f.line())
		}
		if more > 0 {
			line("- and %s more", number(int64(more)))
		}
	}
	list("Missing, or not verified", m.missing, m.more)
	list("Changed since the last run", m.changes, m.moreChanges)
	list("Destinations", m.places, 0)
	line("\n%s", m.footer)
	return b.String()
}

func (f fact) line() string {
	if f.text == "" {
		return f.name
	}
	return f.name + ": " + f.text
}

// shorter makes the message a little shorter: long reasons first, then destinations and connections beyond a few; false
// if nothing is left to be left out. What is left out is counted.
func (m *message) shorter() bool {
	switch {
	case m.cut(120):
	case len(m.changes) > 5:
		m.changes, m.moreChanges = m.changes[:len(m.changes)-1], m.moreChanges+1
	case len(m.places) > 3:
		m.dropPlace()
	case len(m.missing) > 5:
		m.dropMissing()
	case m.cut(40):
	case len(m.changes) > 0:
		m.changes, m.moreChanges = m.changes[:len(m.changes)-1], m.moreChanges+1
	case len(m.missing) > 0:
		m.dropMissing()
	case len(m.places) > 0:
		m.dropPlace()
	default:
		return false
	}
	return true
}

// cut shortens what is longer than so many characters; false if nothing is.
func (m *message) cut(most int) (cut bool) {
	for _, list := range [][]fact{m.missing, m.changes, m.places} {
		for i := range list {
			if short := oneLine(list[i].text, most); len([]rune(short)) < len([]rune(list[i].text)) {
				list[i].text, cut = short, true
			}
		}
	}
	return cut
}

func (m *message) dropMissing() { m.missing, m.more = m.missing[:len(m.missing)-1], m.more+1 }

func (m *message) dropPlace() { m.places, m.morePlaces = m.places[:len(m.places)-1], m.morePlaces+1 }
