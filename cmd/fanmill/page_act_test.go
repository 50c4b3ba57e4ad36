package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fanmill/internal/web"
	"fanmill/pipeline"
)

// client changes things by the page's API, as a program without a token does.
type client struct {
	t       *testing.T
	page    string
	cookies []*http.Cookie
	csrf    string
}

func (s *server) client() *client {
	s.w.t.Helper()
	c := &client{t: s.w.t, page: s.page()}
	answer, err := http.Get(c.page + "api/v1/session")
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	var v struct{ CSRF string }
	if err := json.NewDecoder(answer.Body).Decode(&v); err != nil {
		c.t.Fatal(err)
	}
	c.cookies, c.csrf = answer.Cookies(), v.CSRF
	return c
}

func (c *client) do(method, path string, body any) (int, string) {
	c.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.page+"api/v1/"+path, bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Csrf-Token", c.csrf)
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, string(said)
}

// A job is checked, previewed, started, resumed, dropped and forgotten by the page; each change is an event that names
// who asked.
func TestPageActs(t *testing.T) {
	w := newWorld(t, 30, 20)
	missing, right := filepath.ToSlash(filepath.Join(w.dir, "missing.db")), w.conns[1].dsn
	w.conns[1].dsn = missing
	w.write()
	s := w.serve("--http", "127.0.0.1:0")
	c := s.client()
	if status, said := c.do("POST", "jobs/gst/check", object{}); status != http.StatusOK || !strings.Contains(said, `"good": false`) || !strings.Contains(said, "missing.db") {
		t.Errorf("check: status %d:\n%s", status, said)
	}
	var rows web.Rows
	status, said := c.do("POST", "jobs/gst/preview", object{})
	if err := json.Unmarshal([]byte(said), &rows); err != nil || status != http.StatusOK || len(rows.Rows) != 20 || !rows.More || len(rows.Columns) == 0 {
		t.Errorf("preview: status %d, %v:\n%s", status, err, said)
	}
	status, said = c.do("POST", "jobs/gst/runs", object{"id": "night", "connections": []string{"conn_1", "conn_2"}})
	if status != http.StatusOK || !strings.Contains(said, "run night of job gst: running") {
		t.Fatalf("start: status %d:\n%s", status, said)
	}
	if code, said := w.ask("trigger", "gst", "--id", "night", "--wait"); code != exitPartial {
		t.Fatalf("exit code %d:\n%s", code, said)
	}
	run := api[web.Run](t, c.page, "runs/night")
	if status, said := c.do("POST", "runs/night/resume", object{"revision": "running.0.1"}); status != http.StatusConflict || !strings.Contains(said, "it is partial now") {
		t.Errorf("a resume of what was seen before: status %d:\n%s", status, said)
	}
	if status, said := c.do("DELETE", "runs/night", object{"revision": run.Revision}); status != http.StatusConflict || !strings.Contains(said, "a resume can go on with it") {
		t.Errorf("an unfinished run is forgotten: status %d:\n%s", status, said)
	}
	w.conns[1].dsn = right
	w.write()
	job, err := os.ReadFile(w.job())
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "jobs", "gst.json"), job, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if status, said := c.do("POST", "runs/night/resume", object{"revision": run.Revision}); status != http.StatusOK {
		t.Fatalf("resume: status %d:\n%s", status, said)
	}
	s.says("run night ended: complete")
	w.exact()
	run = api[web.Run](t, c.page, "runs/night")
	if status, said := c.do("DELETE", "checkpoints/gst", object{"revision": run.Revision}); status != http.StatusConflict || !strings.Contains(said, "no unfinished run") {
		t.Errorf("drop of nothing: status %d:\n%s", status, said)
	}
	if status, said := c.do("DELETE", "runs/night", object{"revision": run.Revision}); status != http.StatusOK || !strings.Contains(said, "run night is forgotten") {
		t.Errorf("forget: status %d:\n%s", status, said)
	}
	if status, _ := get(t, c.page+"runs/night"); status != http.StatusNotFound {
		t.Errorf("what was forgotten: status %d", status)
	}
	for _, want := range []string{"page asks the page to start (job gst, run night)", "page asks the page to resume (job gst, run night)", "page asks the page to forget (job gst, run night)"} {
		s.says(want)
	}
}

// What a living process carries out is refused to be dropped, and a run is stopped by the page.
func TestPageStopsARun(t *testing.T) {
	w := newWorld(t, 1)
	// More than the row log takes before somebody reads it: the run goes on until it is stopped.
	w.query = "with recursive n(i) as (select 1 union all select i + 1 from n) select i, hex(randomblob(200)) from n"
	w.write()
	s := w.serve("--http", "127.0.0.1:0")
	c := s.client()
	if status, said := c.do("POST", "jobs/gst/runs", object{"id": "endless"}); status != http.StatusOK {
		t.Fatalf("start: status %d:\n%s", status, said)
	}
	s.says("Executing connection")
	run := api[web.Run](t, c.page, "runs/endless")
	if status, said := c.do("DELETE", "checkpoints/gst", object{"revision": run.Revision}); status != http.StatusConflict {
		t.Errorf("a run that goes on is dropped: status %d:\n%s", status, said)
	}
	if status, said := c.do("POST", "runs/endless/cancel", object{"revision": run.Revision}); status != http.StatusOK || !strings.Contains(said, "cancelling") {
		t.Fatalf("cancel: status %d:\n%s", status, said)
	}
	s.says("was cancelled")
	for {
		if run = api[web.Run](t, c.page, "runs/endless"); run.State == string(pipeline.RunInterrupted) {
			break
		}
	}
	if status, said := c.do("DELETE", "checkpoints/gst", object{"revision": run.Revision}); status != http.StatusOK || !strings.Contains(said, "run endless is given up") {
		t.Errorf("drop: status %d:\n%s", status, said)
	}
}

var uiLine = regexp.MustCompile(`the page: (http\S+/)login#(\S+)`)

// fanmill ui shows what fanmill run does beside it, to who has its code.
func TestUI(t *testing.T) {
	w := newWorld(t, 25)
	w.mustRun(exitComplete, nil)
	cmd, _ := w.command(nil)
	cmd.Args = []string{cmd.Args[0], "ui", "--data", filepath.Join(w.dir, "data"), "--http", "127.0.0.1:0", "--no-open"}
	out := &lines{changed: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u := &server{w: w, cmd: cmd, out: out}
	t.Cleanup(u.kill)
	u.says("login#")
	text, _ := out.text()
	page := uiLine.FindStringSubmatch(text)[1]
	if status, _ := get(t, page); status != http.StatusUnauthorized {
		t.Errorf("without the code: status %d", status)
	}
	if status, _ := get(t, page+"readyz"); status != http.StatusOK {
		t.Errorf("readyz: status %d", status)
	}
	w.mustRun(exitComplete, nil) // beside it, through its store
	u.stop()
}
