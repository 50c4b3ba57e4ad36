package screen

import (
	"fmt"
	"time"
)

// NoticeLine is a notice to one target: whether it has been told.
type NoticeLine struct {
	Job    string    `json:"job"`
	Run    string    `json:"run,omitempty"`
	Day    string    `json:"day,omitempty"` // on which the job was late
	Event  string    `json:"event"`
	Target string    `json:"target"`
	Type   string    `json:"type"`
	State  string    `json:"state"` // waiting, sent or givenup
	Made   time.Time `json:"made"`
	Tries  int       `json:"tries"`
	Next   time.Time `json:"next,omitzero"`
	Ended  time.Time `json:"ended,omitzero"`
	Error  string    `json:"error,omitempty"`
	Answer string    `json:"answer,omitempty"`
}

// words say in one line what became of a notice.
func (l *NoticeLine) words(s *sheet) (text string, look style) {
	switch l.State {
	case "sent":
		return "sent " + s.when(l.Ended), green
	case "givenup":
		return "not told after " + Of(int64(l.Tries), "attempt") + ": " + oneLine(l.Error), red
	}
	if l.Tries == 0 && l.Error == "" {
		return "waits to be sent by whoever serves, or by the next fanmill run", yellow
	}
	text = "waits after " + Of(int64(l.Tries), "attempt")
	if !l.Next.IsZero() {
		text += ", the next " + s.when(l.Next)
	}
	return text + ": " + oneLine(l.Error), yellow
}

// Words say what became of a notice, without times.
func (l *NoticeLine) Words() string {
	switch {
	case l.State == "sent":
		return "sent"
	case l.State == "givenup":
		return "not told after " + Of(int64(l.Tries), "attempt") + ": " + l.Error
	case l.Error == "":
		return "waits to be sent"
	}
	return "waits after " + Of(int64(l.Tries), "attempt") + ": " + l.Error
}

// NoticesView lists notices, the newest first. Its JSON is the list.
type NoticesView struct {
	Notices []NoticeLine
	All     bool // also those that were sent
}

func (v NoticesView) data() any { return list(v.Notices) }

func (v NoticesView) text(s *sheet) {
	if len(v.Notices) == 0 {
		what := "nobody waits to be told"
		if v.All {
			what = "nobody was to be told anything"
		}
		s.line(0, plain, what)
		return
	}
	t := &table{columns: []column{{head: "Job", min: 6}, {head: "Event"}, {head: "Target", min: 6}, {head: "Run", min: 10}, {head: "Made", spare: 2}, {head: "State"}}}
	for i := range v.Notices {
		l := &v.Notices[i]
		run := l.Run
		if l.Day != "" {
			run = "late on " + l.Day
		}
		text, look := l.words(s)
		r := t.add(cell{text: clean(l.Job)}, cell{text: clean(l.Event)}, cell{text: clean(l.Target)}, cell{text: clean(run)}, cell{s.when(l.Made), dim}, cell{clean(l.State), look})
		if l.State != "sent" {
			r.note(look, text)
		}
	}
	s.table(t, 0)
}

// NoticeTestView is what came of samples that were sent to the targets of a job. Its JSON is the list.
type NoticeTestView struct {
	Event string
	Lines []NoticeTestLine
}

// NoticeTestLine is what one receiver said.
type NoticeTestLine struct {
	Target string `json:"target"`
	Type   string `json:"type"`
	Event  string `json:"event"`
	Answer string `json:"answer,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (v NoticeTestView) data() any { return list(v.Lines) }

func (v NoticeTestView) text(s *sheet) {
	for _, l := range v.Lines {
		head := fmt.Sprintf("%s (%s): ", clean(l.Target), clean(l.Type))
		if l.Error != "" {
			s.line(0, red, head+"not sent: "+oneLine(l.Error))
			continue
		}
		s.line(0, green, head+"sent a sample of "+clean(l.Event)+"; "+oneLine(l.Answer))
	}
}
