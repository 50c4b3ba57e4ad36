package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// asking is a server whose run was interrupted, and what a browser of it has.
func asking(t *testing.T) (*fake, *browser) {
	f := newFake()
	r := someRun("r1", 3)
	r.State, r.Resumable, r.Revision = "interrupted", true, "interrupted.0.1"
	f.runs = []Run{r}
	f.jobs = []Job{{ID: "sales.daily", Name: "Sales", Last: []RunLine{r.RunLine}}}
	f.points = []Checkpoint{{JobID: "sales.daily", JobName: "Sales", Run: "r1", State: "interrupted", Revision: r.Revision}}
	f.letters = []Letter{{Key: "k1", JobID: "sales.daily", Run: "r1", State: "unknown", Unknown: true, Revision: "unknown"}}
	s := New(Options{Words: words})
	s.Attach(f)
	return f, browse(t, s)
}

// Every change asks before it destroys: its address shows a question, whose form has what is needed.
func TestChangesAsk(t *testing.T) {
	for target, want := range map[string]string{"/runs/r1/cancel": "Stop run r1?", "/runs/r1/forget": "Forget run r1?", "/checkpoints/sales=2Edaily/drop": "Drop the checkpoint of Sales?", "/dead/k1/replay": "Look there first", "/dead/k1/drop": "Its bytes go at once"} {
		f, b := asking(t)
		page := text(t, b.get(target))
		if !strings.Contains(page, want) || len(f.asked) > 0 {
			t.Errorf("%s asks:\n%s", target, page)
		}
		form := formIn(page)
		if r := b.post(target, form); r.StatusCode != http.StatusSeeOther || len(f.asked) != 1 || !strings.HasPrefix(f.asked[0], "page ") {
			t.Errorf("%s: status %d, done %q", target, r.StatusCode, f.asked)
		}
	}
}

// A job's schedule is paused and goes on by a button of its page, and the lists say when it is due.
func TestSchedulesOnPages(t *testing.T) {
	f, b := asking(t)
	next := time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)
	f.runs[0].Scheduled, f.runs[0].Missed = next.AddDate(0, 0, -1), 2
	f.jobs[0].Schedules = []JobSchedule{{At: "30 2 * * *", Asks: hostile, Next: next, Last: next.AddDate(0, 0, -1), Run: "r1", Missed: 2, Skipped: next}}
	for target, want := range map[string]string{"/jobs": "next <time", "/": "for <time", "/runs/r1": "2 times before that, which nobody served", "/jobs/sales=2Edaily": "no run made up for that"} {
		if page := text(t, b.get(target)); !strings.Contains(page, want) || strings.Contains(page, "<img") {
			t.Errorf("%s lacks %q, or has markup of others:\n%s", target, want, page)
		}
	}
	for _, paused := range []bool{false, true} {
		address, did := "/jobs/sales=2Edaily/schedule/pause", "page pause on sales.daily"
		if paused {
			address, did = "/jobs/sales=2Edaily/schedule/resume", "page resume schedule paused sales.daily"
			f.jobs[0].Paused = &Paused{By: hostile, At: next}
		}
		page := text(t, b.get("/jobs/sales=2Edaily"))
		if !strings.Contains(page, strings.TrimPrefix(address, "/jobs/")) {
			t.Errorf("no button leads to %s:\n%s", address, page)
		}
		r := b.post(address, formIn(page))
		if r.StatusCode != http.StatusSeeOther || f.asked[len(f.asked)-1] != did || !strings.Contains(r.Header.Get("Location"), "jobs/sales=2Edaily") {
			t.Errorf("%s: status %d, to %s, done %q", address, r.StatusCode, r.Header.Get("Location"), f.asked)
		}
	}
	again, b := asking(t)
	again.jobs = f.jobs
	if page := text(t, b.get("/jobs")); !strings.Contains(page, "its schedule is paused") || strings.Contains(page, "next <time") {
		t.Errorf("a paused job:\n%s", page)
	}
}

// formIn are the hidden fields of a page's form.
func formIn(page string) url.Values {
	form := url.Values{}
	for _, part := range strings.Split(page, `<input type="hidden" name="`)[1:] {
		name, rest, _ := strings.Cut(part, `" value="`)
		value, _, _ := strings.Cut(rest, `"`)
		form.Add(name, value)
	}
	return form
}

// Nothing is done for another site, for a page without our token, or for GET.
func TestChangesAreRefusedToOthers(t *testing.T) {
	f, b := asking(t)
	for _, c := range b.s.changes() {
		target := strings.NewReplacer("{run}", "r1", "{job}", "sales=2Edaily", "{key}", "k1").Replace(c.address)
		good := url.Values{"csrf": {b.csrf("/")}, "revision": {"interrupted.0.1"}, "giveUp": {"r1"}}
		for what, r := range map[string]*http.Response{
			"without a token":   b.post(target, url.Values{"revision": {"interrupted.0.1"}}),
			"from another site": b.post(target, good, "Sec-Fetch-Site", "cross-site"),
			"from another port": b.post(target, good, "Origin", "http://127.0.0.1:9999"),
		} {
			if r.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s: status %d", target, what, r.StatusCode)
			}
		}
		b.get(target)
	}
	for _, e := range b.s.acts() {
		target := apiRoot + strings.NewReplacer("{run}", "r1", "{job}", "sales=2Edaily", "{key}", "k1").Replace(e.path)
		if r := b.do(e.method, target, strings.NewReader("{}"), "Content-Type", "application/json"); r.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s without a token: status %d", e.method, target, r.StatusCode)
		}
		if r := b.do(e.method, target, strings.NewReader("{}"), "Content-Type", "text/plain", csrfHeader, b.csrf("/")); r.StatusCode != http.StatusUnsupportedMediaType {
			t.Errorf("%s %s as text: status %d", e.method, target, r.StatusCode)
		}
	}
	if len(f.asked) > 0 {
		t.Errorf("it was done: %q", f.asked)
	}
}

// What has changed meanwhile is left alone, and the answer says what it is.
func TestChangesNameWhatWasSeen(t *testing.T) {
	f, b := asking(t)
	form := url.Values{"csrf": {b.csrf("/")}, "revision": {"partial.0.1"}}
	r := b.post("/runs/r1/resume", form)
	if page := text(t, r); r.StatusCode != http.StatusConflict || !strings.Contains(page, "it is interrupted now") || len(f.asked) > 0 {
		t.Errorf("status %d:\n%s", r.StatusCode, page)
	}
	form.Set("revision", "interrupted.0.1")
	r = b.post("/runs/r1/resume", form)
	if r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", r.StatusCode)
	}
	said := strings.TrimPrefix(r.Header.Get("Location"), "./../../")
	if page := text(t, b.get("/"+said)); !strings.Contains(page, "resume is done") {
		t.Errorf("%s does not say what was done:\n%s", said, page)
	}
	if page := text(t, b.get("/"+said)); strings.Contains(page, "resume is done") {
		t.Error("it is said twice")
	}
}

// A new run that gives an unfinished one up asks first, and keeps what was chosen.
func TestStartAsks(t *testing.T) {
	f, b := asking(t)
	csrf := b.csrf("/")
	r := b.post("/jobs/sales=2Edaily/start", url.Values{"csrf": {csrf}, "param.from": {"2026-04-01"}, "param.to": {""}, "connection": {"c1", "c2"}})
	page := text(t, r)
	if r.StatusCode != http.StatusOK || !strings.Contains(page, "Start over?") || len(f.asked) > 0 {
		t.Fatalf("status %d, done %q:\n%s", r.StatusCode, f.asked, page)
	}
	if r := b.post("/jobs/sales=2Edaily/start", formIn(page)); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", r.StatusCode)
	}
	if want := (Start{Params: map[string]any{"from": "2026-04-01"}, Connections: []string{"c1", "c2"}, GiveUp: "r1"}); !reflect.DeepEqual(f.started, want) {
		t.Errorf("started with %+v, want %+v", f.started, want)
	}
}

// The API does what the pages do, for programs with the token and for those with the session's.
func TestChangesByAPI(t *testing.T) {
	f, b := asking(t)
	var own session
	if err := json.Unmarshal([]byte(text(t, b.get("/api/v1/session"))), &own); err != nil || own.CSRF == "" {
		t.Fatal(own, err)
	}
	call := func(method, path, body string) (int, string) {
		t.Helper()
		r := b.do(method, apiRoot+path, strings.NewReader(body), "Content-Type", "application/json", csrfHeader, own.CSRF)
		return r.StatusCode, text(t, r)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/jobs/sales=2Edaily/runs", `{}`, 409, "giveUp"},
		{"POST", "/jobs/sales=2Edaily/runs", `{"giveUp":"r1","params":{"n":12345678901234567890}}`, 200, `"said": "start is done"`},
		{"POST", "/jobs/sales=2Edaily/runs", `{"giveUpp":"r1"}`, 400, "unknown field"},
		{"POST", "/jobs/nothing/runs", `{}`, 404, "there is no job"},
		{"POST", "/runs/r1/cancel", `{"revision":"x"}`, 409, "it is interrupted now"},
		{"POST", "/runs/r1/cancel", `{"revision":"interrupted.0.1"}`, 200, "cancel is done"},
		{"DELETE", "/runs/r1", `{"revision":"interrupted.0.1"}`, 200, "forget is done"},
		{"DELETE", "/checkpoints/sales=2Edaily", `{"revision":"interrupted.0.1"}`, 200, "drop is done"},
		{"POST", "/dead/k1/replay", `{"revision":"unknown","resend":true}`, 200, "replay true"},
		{"DELETE", "/dead/k1", `{"revision":"unknown"}`, 200, "drop is done"},
		{"POST", "/runs/r1/resume", `{"revision":"interrupted.0.1"}`, 200, "resume is done"},
		{"POST", "/jobs/sales=2Edaily/check", `{"connections":["a"]}`, 200, `"durationMs"`},
		{"POST", "/jobs/sales=2Edaily/preview", `{"connection":"a"}`, 200, "null"},
	} {
		if status, body := call(c.method, c.path, c.body); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s %s: status %d, want %d with %s:\n%s", c.method, c.path, c.body, status, c.status, c.want, body)
		}
	}
	if n, ok := f.started.Params["n"].(json.Number); !ok || n.String() != "12345678901234567890" {
		t.Errorf("the number has become %v", f.started.Params["n"])
	}
	s := New(Options{Words: words, Token: goodToken})
	s.Attach(f)
	f.asked = nil
	program := browse(t, s)
	if r := program.do("POST", apiRoot+"/runs/r1/cancel", strings.NewReader(`{"revision":"running.1.2"}`), "Content-Type", "application/json", "Authorization", "Bearer "+goodToken); r.StatusCode != http.StatusOK || !slices.Equal(f.asked, []string{"token cancel r1"}) {
		t.Errorf("with the token: status %d, %q", r.StatusCode, f.asked)
	}
}

// What a check and a preview show is data, too.
func TestFoundIsNoMarkup(t *testing.T) {
	_, b := asking(t)
	for _, target := range []string{"/jobs/sales=2Edaily/check", "/jobs/sales=2Edaily/preview"} {
		page := text(t, b.post(target, url.Values{"csrf": {b.csrf("/")}, "of": {hostile}}))
		if strings.Contains(page, "<img") || !strings.Contains(page, "&lt;img") {
			t.Errorf("%s:\n%s", target, page)
		}
	}
}
