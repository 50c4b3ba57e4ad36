package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/gst"
	"fanmill/internal/receiver"
	"fanmill/internal/verify"
)

// worker starts a child that serves in some roles, and waits until it does.
func (w *world) worker(env []string, roles string, more ...string) *server {
	w.t.Helper()
	cmd, _ := w.command(env)
	cmd.Args = append(append([]string{cmd.Args[0], "serve", "--roles", roles}, w.args...), more...)
	s := &server{w: w, cmd: cmd, out: &lines{changed: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.kill)
	if strings.Contains(roles, "coordinator") {
		s.says("serving 1 job of")
	} else {
		s.says("serving as " + roles)
	}
	return s
}

// A run of 12 branches into a workbook, a file for each of them and a webhook is done by processes of different roles.
// One of each is killed: who asks, before the end of its second branch; who writes, right after it has published a
// second time; who coordinates, once these two are gone. Others go on: everything is exact, and nothing is asked again
// but what the killed worker had in hand.
func TestRolesKilled(t *testing.T) {
	t.Parallel()
	w := newRequestsWorld(t, receiver.Options{Seed: 5, Secrets: []string{signingSecret}},
		map[string]map[string]any{"hook": {"type": "webhook", "signingSecrets": []string{"${HOOK_SECRET}"}, "maxRowsPerRequest": 500}})
	branches, err := gst.Generate(t.Context(), t.TempDir(), 12, 2000, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range branches {
		w.conns = append(w.conns, worldConn{id: "conn_" + itoa(i+1), name: b.Name, dsn: filepath.ToSlash(b.Path), rows: 300 + 100*i})
	}
	w.write()
	out := func(name string) string { return filepath.ToSlash(filepath.Join(w.dir, "out", name)) }
	w.edit(func([]any) []any {
		return []any{map[string]any{"type": "excel", "filePath": out("{jobName}.xlsx")}, map[string]any{"type": "csv", "filePath": out("branches/{connection}.csv")},
			map[string]any{"id": "hook", "url": w.targets["hook"].url + "/in", "type": "webhook", "signingSecrets": []string{"${HOOK_SECRET}"}, "maxRowsPerRequest": 500}}
	})
	url := natsWith(t, "max_payload: 8MB")
	w.args = append(w.args, "--nats", url, "--lease", "3s")
	jobs := filepath.Join(w.dir, "jobs")
	data, err := os.ReadFile(w.job())
	if err == nil {
		err = os.MkdirAll(jobs, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(jobs, "gst.json"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	coordinator := w.worker(nil, "coordinator", "--jobs", jobs)
	writes := w.worker([]string{"FANMILL_FAILPOINT=after-publish:2"}, "sink")
	asks := w.worker([]string{"FANMILL_FAILPOINT=before-eof:2"}, "query", "--parallel", "2")
	w.trigger("gst", exitComplete, "--id", "night", "--nats", url)
	for _, s := range []*server{asks, writes} {
		if s == writes { // what it writes needs somebody who asks
			w.worker(nil, "query", "--parallel", "2")
		}
		if err := s.cmd.Wait(); err == nil {
			t.Fatal("it was to be killed")
		}
	}
	coordinator.kill()
	w.worker(nil, "sink")
	successor := w.worker(nil, "coordinator", "--jobs", jobs)
	successor.says("run night ended: complete")
	truth, columns := w.truth()
	book, err := verify.Workbook(w.xlsx(), columns, "Summary")
	if err != nil {
		t.Fatal(err)
	}
	if d := verify.Diff(truth, book); len(d) > 0 {
		t.Errorf("workbook: %s", strings.Join(d, "\n"))
	}
	w.tabsInJobOrder()
	files := verify.Dataset{}
	for _, c := range w.conns {
		file, err := verify.CSV(out("branches/"+c.name+".csv"), verify.CSVOptions{Columns: columns, Key: "branch"})
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(files, file)
	}
	if d := verify.Diff(truth, files); len(d) > 0 {
		t.Errorf("CSV: %s", strings.Join(d, "\n"))
	}
	w.exactly("hook")
	asked := map[string]int{}
	for _, dsn := range w.askedSince() {
		asked[dsn]++
	}
	twice := 0
	for dsn, n := range asked {
		if n > 1 {
			twice += n - 1
		}
		if n > 2 {
			t.Errorf("%s was asked %d times", dsn, n)
		}
	}
	if len(asked) != 12 || twice > 2 {
		t.Errorf("%d branches were asked, %d times again; the killed worker had at most 2 in hand", len(asked), twice)
	}
}

// What the flags of roles cannot mean is said, with what they can.
func TestRolesRefused(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--roles", "cook"}, `there is no role "cook"; the roles are coordinator, query, sink`},
		{[]string{"--roles", ""}, "the roles are coordinator, query, sink"},
		{[]string{"--roles", "query", "--sinks", "csv"}, "add sink to --roles"},
		{[]string{"--roles", "sink", "--sinks", "csv,paper"}, `there is no type of destinations "paper"; the types are api, csv, excel`},
		{[]string{"--roles", "coordinator,query"}, "--jobs is missing"},
	} {
		if code, _, problems := call(append([]string{"serve", "--data", t.TempDir()}, c.args...)...); code != exitBadJob || !strings.Contains(problems, c.want) {
			t.Errorf("%v: exit code %d, %s; want %q", c.args, code, problems, c.want)
		}
	}
}
