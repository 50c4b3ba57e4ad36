package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Sequence 15: the process that serves is killed in the middle of a run, and before the next one begins somebody has
// edited the job so that no resume by it would be taken, broken its file, or removed it. The run goes on by itself all
// the same, as it began, and is exact. Who asks for a resume by the job as it is now is told what has changed.
func TestServeKilledAndJobChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit         func(text string) string // "" removes the file
		serves, says string
	}{
		"edited": {func(text string) string {
			return strings.NewReplacer("{jobName}.csv", "another.csv", "limit 300", "limit 3").Replace(text)
		}, "serving 1 job of", ""},
		"broken":  {func(string) string { return "{" }, "serving 0 jobs of", "goes on as it began"},
		"removed": {func(string) string { return "" }, "serving 0 jobs of", "goes on as it began"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 300, 400, 500, 600)
			w.serve().stop() // the folder of jobs is there now
			w.env = append(w.env, "FANMILL_FAILPOINT=after-publish:2")
			s := w.serve()
			w.trigger("gst", exitComplete, "--id", "night")
			if err := s.cmd.Wait(); err == nil {
				t.Fatal("it was to be killed")
			}
			w.env = w.env[:len(w.env)-1]
			truth, columns := w.truth()
			file := filepath.Join(w.dir, "jobs", "gst.json")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if text := c.edit(string(data)); text == "" {
				err = os.Remove(file)
			} else {
				err = os.WriteFile(file, []byte(text), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if name == "edited" {
				code, out := w.ask("run", file, "--resume")
				for _, want := range []string{"cannot be resumed, the job has changed since it began", "destination csv was", "another.csv"} {
					if code != exitFailed || !strings.Contains(out, want) {
						t.Errorf("exit code %d of a resume by the edited job, and %q is not said: %s", code, want, out)
					}
				}
			}
			s = w.serveFolder(c.serves)
			defer s.stop()
			s.says("run night ended: complete")
			if text, _ := s.out.text(); !strings.Contains(text, c.says) {
				t.Errorf("it does not say that it %s:\n%s", c.says, text)
			}
			w.equal(truth, columns)
			w.tabsInJobOrder()
			w.tidy()
		})
	}
}
