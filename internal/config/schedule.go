package config

import (
	"bytes"
	"encoding/json"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/schedule"
)

// Bounds of how long a missed time is made up for.
const (
	minWithin = time.Minute
	maxWithin = 31 * 24 * time.Hour
)

// schedules reads when the job runs by itself: a text, an object, or a list of them.
func (d *decoder) schedules(p place) {
	if p.n.kind != listNode {
		d.schedule(p)
		return
	}
	d.list(p, "times", d.schedule)
}

func (d *decoder) schedule(p place) {
	d.pos[p.path] = p.n.position
	var s pipeline.Schedule
	at := p
	if p.n.kind == objectNode {
		_, _ = d.object(p, nil,
			d.textField("at", &s.At),
			field{"params", func(p place) { d.scheduleParams(p, &s) }},
			d.boolField("resume", &s.Resume),
			d.choiceField("missed", &s.Missed, []string{pipeline.MissedRun, pipeline.MissedSkip}),
			field{"within", func(p place) { d.duration(p, minWithin, maxWithin, &s.Within) }},
		)
		d.need(p, "at", `"30 1 * * *"`)
		at = place{path: p.key("at")}
		if s.Missed == pipeline.MissedSkip && s.Within != 0 {
			d.errorf(p.key("within"), `is for missed times that are made up for, and "missed" is "skip"; remove one of the two`)
		}
		if s.Missed == pipeline.MissedRun {
			s.Missed = ""
		}
	} else {
		d.text(p, &s.At)
	}
	if s.At == "" {
		return
	}
	spec, err := schedule.Parse(s.At)
	if err != nil {
		d.errorf(at.path, "%s", err)
		return
	}
	s.At = spec.String()
	d.out.Schedules = append(d.out.Schedules, s)
	d.scheduled = append(d.scheduled, p.path)
}

// scheduleParams keeps what a schedule's runs have in place of the job's params.
func (d *decoder) scheduleParams(p place, s *pipeline.Schedule) {
	if p.n.kind != objectNode {
		d.errorf(p.path, `must be an object such as {"from": "{monthStart}"}, not %s`, p.n.kind)
		return
	}
	good := true
	d.entries(p, func(p place, _ string) {
		if _, err := p.n.arg(); err != nil {
			d.errorf(p.path, "%s", err)
			good = false
		}
	})
	if good && len(p.n.members) > 0 {
		s.Params = p.n.appendJSON(nil)
	}
}

// checkSchedules looks at the schedules beside the job's params and each other.
func (d *decoder) checkSchedules() {
	if len(d.out.Schedules) > 0 && d.o.Bounds != nil {
		d.warnf("schedule", "has no effect in a job that a trigger brings along; it is ignored")
		d.out.Schedules = nil
	}
	first := map[string]string{}
	for i := range d.out.Schedules {
		s, path := &d.out.Schedules[i], d.scheduled[i]
		if other, twice := first[s.ID(d.out.ID, d.out.TimeZone)]; twice {
			d.errorf(path, "asks for the same as %s; keep one of the two", other)
		}
		first[s.ID(d.out.ID, d.out.TimeZone)] = path
		if len(s.Params) == 0 {
			continue
		}
		given := map[string]any{}
		read := json.NewDecoder(bytes.NewReader(s.Params))
		read.UseNumber()
		if err := read.Decode(&given); err != nil {
			d.errorf(path+".params", "cannot be read: %s", err)
			continue
		}
		if _, err := ResolveParams(&d.out, given, time.Now()); err != nil {
			d.errorf(path+".params", "%s", err)
		}
	}
}

// scheduleSchema is that of the times at which a job runs by itself.
func scheduleSchema() *schema {
	at := text("Five fields as in a crontab: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday); names, ranges, lists, steps; or @daily and the like. By clocks of timeZone.", "30 1 * * *")
	at.Type = "string"
	params := paramsSchema()
	params.Description, params.Examples = "Values in place of the job's, for the runs of this time.", []any{map[string]any{"from": "{monthStart-1m}"}}
	one := &schema{
		Type: "object", Required: []string{"at"},
		Properties: properties{
			{"at", at},
			{"params", params},
			{"resume", boolean("Whether the job's unfinished run goes on, if there is one, in place of a new one.", false)},
			{"missed", choice("What becomes of times that nobody served: run makes up for all of them by one run, skip leaves them out.", pipeline.MissedRun, pipeline.MissedSkip)},
			{"within", duration("How long after its time a run is still made up for. Without it, there is no limit.", "", "2h")},
		},
	}
	either := []*schema{at, one}
	return &schema{Description: "When the job runs by itself, as long as somebody serves it: a time, or several. A time that a clock does not show, as it is put forward, is the first instant after it; one that comes twice is the first of the two.",
		OneOf: append(either, &schema{Type: "array", MinItems: 1, Items: &schema{OneOf: either}}), Examples: []any{"30 1 * * *"}}
}
