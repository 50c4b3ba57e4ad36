package screen

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// unremarkable reports whether the table of a long run may leave the connection out, and count it: everybody has it,
// or it was not its turn yet.
func (c *ConnectionView) unremarkable() bool {
	for _, m := range c.Missing {
		if m.State != StatePending && m.State != StateSealed || m.Error != "" {
			return false
		}
	}
	if len(c.Doubts())+len(c.Alerts())+len(c.Waits) > 0 {
		return false
	}
	return c.State == StateDone || c.State == StatePending || c.State == StateSealed
}

// remarks are the lines beneath a connection: why who lacks it, and what does not agree.
func (c *ConnectionView) remarks(r *row) {
	for _, text := range c.Doubts() {
		st := yellow
		if c.Verified == pipeline.VerifiedDiffers {
			st = red
		}
		r.note(st, oneLine(text))
	}
	for _, text := range c.Alerts() {
		r.note(yellow, oneLine(text))
	}
	for _, text := range c.Waits {
		r.note(yellow, "waits for another process to ask it: "+oneLine(text))
	}
	for _, m := range c.Missing {
		if m.State == StatePending && (c.State == StateRunning || c.State == StateDelivered) {
			continue // it will come
		}
		text := oneLine(m.Error)
		if m.kept {
			r.note(stateStyle(m.State), clean(m.Destination)+" was given up before its file was finished; why is told below, with the file")
			continue
		}
		switch {
		case text == "" && m.Destination == "":
			continue
		case text == "" && m.State == StateSealed:
			text = "sealed, waits to be sent"
		case text == "":
			text = clean(m.State)
		case m.owed:
			text = "waits; why is told below, with the destination"
		case m.givenUp: // its words may be many, and are the same for all connections
			text = "given up for this run; why is told below, with the file"
		case m.Destination != "" && m.State != StatePending:
			text = clean(m.State) + ": " + text
		}
		if m.Destination != "" {
			text = clean(m.Destination) + " lacks it: " + text
		}
		r.note(stateStyle(m.State), text)
	}
}

// stateStyle is how a state stands out.
func stateStyle(state string) style {
	switch state {
	case StateFailed, StateRejected, string(pipeline.RecordDetached):
		return red
	case StatePartial, StateSealed, string(pipeline.RunInterrupted), string(pipeline.RecordOwing):
		return yellow
	case StateDone, string(pipeline.RunComplete), string(pipeline.RecordFinished):
		return green
	case StateRunning, StateDelivered, string(pipeline.RecordOpen), string(pipeline.RecordFinishing):
		return cyan
	}
	return dim
}

// connections writes the table of a run's connections. Of a long run only those worth a look are listed unless all
// are asked for.
func (s *sheet) connections(all []ConnectionView) {
	t := &table{columns: []column{{head: "Connection", min: 12}, {head: "Rows", right: true}, {head: "Time", right: true, spare: 1},
		{head: "Attempts", right: true, spare: 2}, {head: "State"}}}
	compared := slices.ContainsFunc(all, func(c ConnectionView) bool { return c.Before != nil })
	if compared {
		t.columns = append(t.columns, column{head: "Last time", right: true, spare: 3})
	}
	hidden := map[string]int{}
	for i := range all {
		c := &all[i]
		if len(all) > longTable && !s.Verbose && c.unremarkable() {
			hidden[c.State]++
			continue
		}
		rows, took, attempts := "", "", ""
		if c.Rows > 0 || c.State == StateDone || c.State == StatePartial {
			rows = Count(c.Rows)
		}
		if c.Attempts > 0 {
			took, attempts = millis(c.Millis), Count(int64(c.Attempts))
		}
		r := t.add(cell{text: clean(c.Name)}, cell{text: rows}, cell{took, dim}, cell{text: attempts}, cell{clean(c.State), stateStyle(c.State)})
		if compared {
			r.cells = append(r.cells, cell{c.LastTime(), dim})
		}
		c.remarks(r)
	}
	if len(t.rows) > 0 {
		s.table(t, 0)
	}
	if slices.ContainsFunc(all, func(c ConnectionView) bool { return c.State == StateSealed }) {
		s.line(0, dim, "sealed: the rows are safe, and wait to be sent")
	}
	s.verified(all)
	for _, state := range []string{StateDone, StateSealed, StatePending} {
		if n := hidden[state]; n > 0 {
			s.line(0, dim, fmt.Sprintf("%s %s, not listed; --verbose lists all", Of(int64(n), "connection"), state))
		}
	}
}

// losses tells of values that could not be held in full, and of what else readers should know. Long lists end in a
// count.
func (s *sheet) losses(all []ConnectionView) {
	const limit = 20
	var lines []string
	for i := range all {
		name := clean(all[i].Name)
		for _, l := range all[i].Losses {
			lines = append(lines, fmt.Sprintf("%s in %s: %s of column %s %s", name, clean(l.Destination), Of(l.Cells, "value"), clean(l.Column), oneLine(l.What)))
		}
		seen := map[string]bool{} // destinations mostly say the same
		for _, n := range all[i].Notes {
			if text := oneLine(n.Text); !seen[text] {
				seen[text] = true
				lines = append(lines, name+": "+text)
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	s.heading("Not as in the database")
	for i, l := range lines {
		if i == limit && !s.Verbose && len(lines) > limit+1 {
			s.line(2, dim, fmt.Sprintf("and %s more; --verbose lists all, <file>.manifest.json has them too", Count(int64(len(lines)-limit))))
			return
		}
		s.line(2, yellow, l)
	}
}

// destinations writes the table of a run's files, and of its other destinations. resume is the command that goes on
// with the run; "" if there is none.
func (s *sheet) destinations(all []DestinationView, total int, resume string) {
	t := &table{columns: []column{{head: "Size", right: true, spare: 1}, {head: "Connections", right: true, spare: 2}, {head: "State"}}}
	lags, head := false, "File"
	for i := range all {
		lags = lags || all[i].Lag != nil
		if all[i].Delivery != nil {
			head = "Goes to"
		}
	}
	if lags {
		t.columns = append(t.columns, column{head: "Behind", right: true, spare: 3})
	}
	t.columns = append(t.columns, column{head: head, min: 24, wraps: true})
	for i := range all {
		d := &all[i]
		of := d.Total
		if of == 0 {
			of = total
		}
		size := ""
		if d.Bytes > 0 {
			size = Size(d.Bytes)
		}
		fields := []cell{{text: size}, {text: Count(int64(d.Connections)) + "/" + Count(int64(of))}, {destinationState(d), stateStyle(string(d.State))}}
		if lags {
			behind := ""
			if d.Lag != nil {
				behind = Of(*d.Lag, "frame")
			}
			fields = append(fields, cell{text: behind})
		}
		r := t.add(append(fields, cell{text: clean(d.File)})...)
		switch {
		case d.State == pipeline.RecordOwing:
			r.note(yellow, d.Owes(of, resume))
		case d.Error != "":
			r.note(red, oneLine(d.Error))
		case !d.Unclaimed.IsZero():
			whom := ""
			if d.Awaited != "" {
				whom = ", waiting for " + clean(d.Awaited)
			}
			r.note(yellow, "no process writes it"+whom+"; it is given up for this run at "+s.when(d.Unclaimed)+" unless one does")
		}
		if d.Delivery != nil {
			r.note(dim, s.delivery(d.Delivery))
		}
	}
	s.table(t, 0)
}

// Owes says what an owing destination has yet to send, of how many connections, why, and what sends it.
func (d *DestinationView) Owes(total int, resume string) string {
	text := "owes its last request"
	owed := d.Sealed + d.pending
	if owed > 0 {
		text = fmt.Sprintf("owes %s of %s", Count(int64(owed)), Of(int64(total), "connection"))
	}
	if d.Error != "" {
		text += ": " + oneLine(d.Error)
	}
	if owed > d.Refused && resume != "" {
		text += "; " + clean(resume) + " sends them"
	}
	return text
}

// delivery says what was sent in requests, and what the receiver said last.
func (s *sheet) delivery(d *pipeline.Delivery) string {
	text := fmt.Sprintf("%s of %s sent", Count(int64(d.Sent)), Of(int64(d.Requests), "request"))
	if d.Refused > 0 {
		text += fmt.Sprintf(", %s refused", Count(int64(d.Refused)))
	}
	if d.Dropped > 0 {
		text += fmt.Sprintf(", %s dropped", Count(int64(d.Dropped)))
	}
	if d.Sent > 0 {
		text += "; " + Of(d.Rows, "row") + ", " + Size(d.Bytes)
	}
	if r := d.Last; r != nil {
		text += "; the last answer"
		if r.Status > 0 {
			text += fmt.Sprintf(" was %d,", r.Status)
		}
		text += " at " + s.when(r.At)
	}
	if len(d.IDs) > 0 {
		const shown = 3
		ids := make([]string, 0, shown)
		for _, id := range d.IDs[:min(shown, len(d.IDs))] {
			ids = append(ids, oneLine(id))
		}
		text += "; ids " + strings.Join(ids, ", ")
		if len(d.IDs) > shown || d.Sent > len(d.IDs) {
			text += ", ..."
		}
	}
	return text
}

// destinationState is a record's state as people call it.
func destinationState(d *DestinationView) string {
	switch d.State {
	case pipeline.RecordDetached:
		return "given up"
	case pipeline.RecordOpen:
		return "in progress"
	}
	return string(d.State)
}
