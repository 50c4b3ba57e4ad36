package screen

import (
	"fmt"
	"strings"

	"fanmill/pipeline"
)

// figures joins what the reports say of one connection's control totals, and of the last time. A destination of one
// query alone knows of that one.
func (v *ConnectionView) figures(reports []*pipeline.Report, i int) {
	known := map[int]bool{}
	for _, r := range reports {
		c := &r.Connections[i]
		for _, control := range c.Controls {
			if !known[control.Query] {
				known[control.Query] = true
				v.Controls = append(v.Controls, control)
			}
		}
		if c.Before != nil {
			v.Before = c.Before
		}
		if len(c.Changes) > len(v.Changes) {
			v.Changes = c.Changes
		}
	}
	v.Verified = pipeline.VerifiedOf(v.Controls)
}

// Doubts are what control totals say against a connection, a line each.
func (v *ConnectionView) Doubts() (out []string) {
	for i := range v.Controls {
		out = append(out, v.Controls[i].Faults()...)
	}
	return out
}

// Alerts are the changes since the last time that the job wants named.
func (v *ConnectionView) Alerts() (out []string) {
	for _, c := range v.Changes {
		if c.Alert {
			out = append(out, "much else than the last time: "+c.String())
		}
	}
	return out
}

// LastTime is the number of rows of the last time, and how many percent more there are now; "" if there was none.
func (v *ConnectionView) LastTime() string {
	if v.Before == nil {
		return ""
	}
	text := Count(pipeline.SumRows(v.Before.Rows))
	for _, c := range v.Changes {
		if c.Column == "" && c.Now != c.Before {
			text += " (" + c.PercentText() + ")"
		}
	}
	return text
}

// doubtful reports whether every row is everywhere, and nothing but control totals keeps the run from being complete.
func (v *RunView) doubtful() bool {
	if v.State != pipeline.RunPartial || v.Error != "" {
		return false
	}
	doubts := false
	for i := range v.Connections {
		c := &v.Connections[i]
		if c.State != StateDone {
			return false
		}
		doubts = doubts || c.Verified == pipeline.VerifiedDiffers || c.Verified == pipeline.VerifiedUnknown
	}
	for i := range v.Destinations {
		if v.Destinations[i].State != pipeline.RecordFinished {
			return false
		}
	}
	return doubts
}

// Offer sets the command that brings what is missing, given the one that resumes. Of a run that has all rows, and
// control totals that do not agree, that is a new run.
func (v *RunView) Offer(resume string) {
	if v.Resume = resume; v.doubtful() {
		v.Resume, v.Again = "", anew(resume)
	}
}

// anew is a command without what makes it one that resumes.
func anew(command string) string {
	command, _, _ = strings.Cut(command, " --id ")
	return strings.Replace(command, " --resume", "", 1)
}

// verified says in a line how many connections agree with their databases.
func (s *sheet) verified(all []ConnectionView) {
	of, equal, differ := 0, 0, 0
	for i := range all {
		switch all[i].Verified {
		case "":
			continue
		case pipeline.VerifiedEqual:
			equal++
		case pipeline.VerifiedDiffers:
			differ++
		}
		of++
	}
	if of == 0 {
		return
	}
	text, st := fmt.Sprintf("control totals: %s of %s agree with their databases", Count(int64(equal)), Of(int64(of), "connection")), green
	if n := of - equal - differ; n > 0 {
		text, st = text+fmt.Sprintf(", %s not verified", Count(int64(n))), yellow
	}
	if differ > 0 {
		text, st = text+fmt.Sprintf(", %s differ", Count(int64(differ))), red
	}
	s.line(0, st, text)
}
