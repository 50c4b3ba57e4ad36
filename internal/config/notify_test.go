package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/internal/notify"
	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/stages"
)

// notifying reads a job in YAML with these targets of notifications.
func notifying(targets string, change func(*config.Options)) (*config.File, error) {
	o := config.Options{Databases: stages.Kinds(), Destinations: sinks.Kinds(), Notify: notify.Kinds(nil), Lookup: func(name string) (string, bool) {
		v, ok := map[string]string{"HOOK": "https://hooks.example.com/x", "PASSWORD": "p"}[name]
		return v, ok
	}}
	if change != nil {
		change(&o)
	}
	return config.Parse("job.yaml", []byte("id: gst\nquery: select 1\nconnections: [{id: a, driver: sqlite, dsn: a.db}]\ndestinations: [{type: csv, filePath: out/a.csv}]\nnotify:\n"+targets), o)
}

// A target has an id and what it is told of, also where the job does not say; references stay references.
func TestNotify(t *testing.T) {
	f, err := notifying(`
  - {type: slack, url: "${HOOK}"}
  - {type: slack, url: "${HOOK}", lateAfter: "07:00"}
  - type: email
    id: finance
    host: smtp.example.com
    user: reports@example.com
    password: ${PASSWORD}
    from: Reports <reports@example.com>
    to: [finance@example.com]
    on: [complete, late]
    lateAfter: 06:30
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := f.Job.Notify
	if ids := []string{all[0].ID, all[1].ID, all[2].ID}; !slices.Equal(ids, []string{"slack", "slack-2", "finance"}) {
		t.Errorf("the ids are %q", ids)
	}
	if want := []pipeline.NoticeEvent{pipeline.NoticePartial, pipeline.NoticeFailed, pipeline.NoticeRecovered}; !slices.Equal(all[0].On, want) {
		t.Errorf("without a time of day it is told of %q", all[0].On)
	}
	if !slices.Equal(all[1].On, pipeline.DefaultNoticeEvents()) || all[1].LateAfter != "07:00" || all[2].LateAfter != "06:30" {
		t.Errorf("with a time of day it is told of %q, %q", all[1].On, all[1].LateAfter)
	}
	if !strings.Contains(string(all[0].Options), "${HOOK}") || strings.Contains(string(all[2].Options), `"p"`) {
		t.Errorf("the options are %s and %s", all[0].Options, all[2].Options)
	}
}

// What is wrong with targets is said at once, with its place and what helps.
func TestNotifyProblems(t *testing.T) {
	_, err := notifying(`
  - {type: slak, url: "${HOOK}"}
  - {type: slack, url: "https://hooks.slack.com/services/T/B/x", on: [partial, later]}
  - {type: discord}
  - {type: teams, url: "${NOWHERE}", on: [late]}
  - {type: webhook, url: "${HOOK}", lateAfter: 7, on: [complete]}
  - {type: teams-card, id: same, url: "${HOOK}", on: [complete], lateAfter: "07:00"}
  - {type: email, id: Same, host: h, from: nobody, to: [a@example.com], user: u, attach: maybe}
  - {type: email, host: h, port: 70000, from: a@example.com, to: ["x\ny@example.com"], password: "${PASSWORD}", security: none}
`, nil)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, want := range []string{`notify[0].type: "slak" is not a kind of notification fanmill knows; did you mean "slack"?`, "notify[1].url: is a secret", `notify[1].on[1]: must be "complete"`, "notify[2].url: is missing",
		"NOWHERE", `notify[3].on: has "late", and nothing says from when on`, `notify[4].lateAfter: must be a time of day`, `notify[5].lateAfter: has no meaning without "late"`, `notify[6].id: "Same" is the id of another target`,
		`notify[6].from: "nobody" is no address`, "notify[6].user: has neither a password nor oauth2", "notify[6].attach: must be true or false", "notify[7].port: must be", "notify[7].to: an address has one line", "notify[7].security: would show the login"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
}

// A job that somebody brings along in a message tells nobody: it could reach any address from here.
func TestABroughtJobTellsNobody(t *testing.T) {
	bounds, err := config.NewBounds(t.TempDir(), nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = notifying("  - {type: slack, url: x}\n", func(o *config.Options) { o.Bounds = bounds })
	if err == nil || !strings.Contains(err.Error(), "tells nobody") {
		t.Errorf("it is taken: %v", err)
	}
}
