package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// timeOfDay is a time of day as a job has it: 07:00.
var timeOfDay = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// notify reads one target of notifications. What it has of its own is checked by the table of its type.
func (d *decoder) notify(p place) {
	var t pipeline.NotifyTarget
	var kind *pipeline.NotifyKind
	own := []string{}
	if n := p.n.member("type"); n != nil {
		if kind = d.o.Notify[n.text]; kind != nil {
			own = optionNames(kind.Options)
		}
	}
	rest, ok := d.object(p, own,
		d.textField("id", &t.ID),
		d.textField("type", &t.Type),
		field{"on", func(p place) { d.noticeEvents(p, &t.On) }},
		field{"lateAfter", func(p place) { d.lateAfter(p, &t.LateAfter) }},
	)
	if !ok {
		d.out.Notify = append(d.out.Notify, t)
		return
	}
	if d.o.Bounds != nil {
		d.errorf(p.path, "a job that is brought along tells nobody; serve a job with notify from a file")
	}
	d.need(p, "type", `"email"`)
	if t.Type != "" && kind == nil {
		d.errorf(p.key("type"), "%s", unknown(t.Type, "kind of notification", slices.Sorted(maps.Keys(d.o.Notify))))
	}
	d.late(p, &t)
	var all, good []member
	for _, m := range rest {
		if kind == nil || !slices.Contains(own, m.name) {
			continue // reported; notes of somebody's are no options
		}
		all = append(all, m)
		if d.value(place{p.key(m.name), m.value}, pipeline.OptionNamed(kind.Options, m.name)) {
			good = append(good, m)
		}
	}
	t.Options = optionsOf(all)
	if kind != nil {
		d.needOptions(p, kind.Options)
		if kind.Check != nil {
			checkable := t
			checkable.Options = optionsOf(good)
			d.plugin(d.errorf, p.path, "", kind.Check(&checkable))
		}
	}
	d.out.Notify = append(d.out.Notify, t)
}

// noticeEvents reads what a target is told of.
func (d *decoder) noticeEvents(p place, dst *[]pipeline.NoticeEvent) {
	var words []string
	for _, e := range pipeline.NoticeEvents() {
		words = append(words, string(e))
	}
	d.list(p, "events", func(item place) {
		switch {
		case item.n.kind != stringNode:
			d.errorf(item.path, "must be %s, not %s", alternatives(words), item.n.kind)
		case !slices.Contains(words, item.n.text):
			d.errorf(item.path, "%s", notAllowed(item.n.text, words))
		case slices.Contains(*dst, pipeline.NoticeEvent(item.n.text)):
			d.errorf(item.path, "%q is here twice; remove one", item.n.text)
		default:
			*dst = append(*dst, pipeline.NoticeEvent(item.n.text))
		}
	})
}

// lateAfter reads the time of day by which a job is to be complete.
func (d *decoder) lateAfter(p place, dst *string) {
	if p.n.kind != stringNode || !timeOfDay.MatchString(p.n.text) {
		d.errorf(p.path, `must be a time of day from "00:00" to "23:59", such as "07:00", in quotes`)
		return
	}
	*dst = p.n.text
}

// late makes of what a target says of the event late what holds: without a time of day nothing is late.
func (d *decoder) late(p place, t *pipeline.NotifyTarget) {
	switch {
	case len(t.On) == 0 && !d.has(p, "on"):
		for _, e := range pipeline.DefaultNoticeEvents() {
			if e != pipeline.NoticeLate || t.LateAfter != "" {
				t.On = append(t.On, e)
			}
		}
	case t.Wants(pipeline.NoticeLate) && t.LateAfter == "" && !d.has(p, "lateAfter"):
		d.errorf(p.key("on"), `has "late", and nothing says from when on: add "lateAfter": "07:00", a time of day in the job's timeZone`)
	case t.LateAfter != "" && !t.Wants(pipeline.NoticeLate):
		d.errorf(p.key("lateAfter"), `has no meaning without "late" in "on"; add that, or remove lateAfter`)
	}
}

// maxNotify bounds the targets of a job.
const maxNotify = 20

// notifyTargets looks at all targets together, and gives each without an id its type, or type-2, type-3 where that is
// taken.
func (d *decoder) notifyTargets() {
	j := &d.out
	if len(j.Notify) > maxNotify {
		d.errorf("notify", "has %d targets; at most %d are told of a job", len(j.Notify), maxNotify)
	}
	taken := map[string]bool{}
	for i := range j.Notify {
		if id := j.Notify[i].ID; id != "" {
			if taken[strings.ToLower(id)] {
				d.errorf(fmt.Sprintf("notify[%d].id", i), "%q is the id of another target as well; give each its own", id)
			}
			taken[strings.ToLower(id)] = true
		}
	}
	for i := range j.Notify {
		t := &j.Notify[i]
		if len(pipeline.Token(t.ID)) > maxTokenBytes {
			d.errorf(fmt.Sprintf("notify[%d].id", i), "is too long; at most %d letters and digits fit, fewer of other characters", maxTokenBytes)
		}
		if t.ID != "" || t.Type == "" {
			continue
		}
		id := t.Type
		for n := 2; taken[strings.ToLower(id)]; n++ {
			id = fmt.Sprintf("%s-%d", t.Type, n)
		}
		taken[strings.ToLower(id)] = true
		t.ID = id
	}
}

// notifySchema is that of the targets of notifications.
func notifySchema(kinds map[string]*pipeline.NotifyKind) *schema {
	names := slices.Sorted(maps.Keys(kinds))
	var events []string
	for _, e := range pipeline.NoticeEvents() {
		events = append(events, string(e))
	}
	s := &schema{
		Type: "object", Description: "Who is told how runs end.", Required: []string{"type"},
		Properties: properties{
			{"id", text("Unique among the targets; keep it. Without it, the type; email-2, email-3 for further ones.", "finance")},
			{"type", &schema{Enum: names, Description: "How it is told."}},
			{"on", &schema{Type: "array", MinItems: 1, Items: &schema{Enum: events},
				Description: "What it is told of. Without it: partial, failed, recovered (complete again after one of the others), and late where there is a lateAfter.", Examples: []any{[]string{"complete", "partial", "failed"}}}},
			{"lateAfter", &schema{Type: "string", Pattern: timeOfDay.String(), Examples: []any{"07:00"},
				Description: "The time of day, in the job's timeZone, by which the job is to be complete: else it is late."}},
		},
	}
	for _, name := range names {
		own := &schema{Description: plainText(kinds[name].Description)}
		own.withFields(kinds[name].Options)
		s.AllOf = append(s.AllOf, &schema{If: &schema{Required: []string{"type"}, Properties: properties{{"type", &schema{Const: name}}}}, Then: own})
	}
	return s
}

// NotifyTable is the table of the options of a kind of target, in Markdown.
func NotifyTable(kind *pipeline.NotifyKind) string { return optionTable(kind.Options) }
