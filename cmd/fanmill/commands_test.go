package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/pipeline"
	"fanmill/sinks"
	"fanmill/stages"
)

// tenMistakes is a job file with a mistake in each of ten lines.
const tenMistakes = `{
  "id": "gst",
  "timeZone": "Asia/Calcuta",
  "retry": {"attempts": 0},
  "onDrift": "unoin",
  "params": {"from": "{yesterdya}"},
  "query": "select * from sale where day >= :from",
  "connections": [
    {"id": "a", "driver": "postgre", "dsn": "x"},
    {"id": "b", "driver": "sqlite", "dns": "b.db"},
    {"id": "A", "driver": "sqlite", "dsn": "c.db"},
    {"id": "d", "driver": "sqlite", "dsn": "${FANMILL_TEST_UNSET}"}
  ],
  "destinations": [
    {"type": "excel", "filePath": "out/gst.xls"},
    {"type": "csv", "filePath": "out/{jobNmae}.csv", "mode": "replace"}
  ]
}
`

// validate names every mistake of a file, with its line and what to do, in one answer; and so does run, before
// anything is opened.
func TestValidateNamesEveryMistake(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "job.json")
	if err := os.WriteFile(path, []byte(tenMistakes), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"validate", path}, {"run", path, "--data", filepath.Join(dir, "data")}, {"check", path}} {
		code, out, problems := call(args...)
		if code != exitBadJob || out != "" {
			t.Errorf("%s: exit code %d, want %d; it printed %q", args[0], code, exitBadJob, out)
		}
		for _, want := range []struct {
			line int
			fix  string
		}{
			{3, `timeZone: "Asia/Calcuta" is not a time zone; use an IANA name such as "Asia/Kolkata"`},
			{4, "retry.attempts: must be a whole number from 1 to 100"},
			{5, `onDrift: must be "union", "fail" or "skip", not "unoin"; did you mean "union"?`},
			{6, "did you mean {yesterday}?"},
			{9, `did you mean "postgres"?`},
			{10, `did you mean "dsn"?`},
			{11, `is the id of connections[0] as well`},
			{12, "set FANMILL_TEST_UNSET in the environment or in the .env file beside the job"},
			{15, "a workbook's name ends in .xlsx"},
			{16, "did you mean {jobName}?"},
		} {
			if !slices.ContainsFunc(strings.Split(problems, "\n"), func(line string) bool {
				return strings.Contains(line, fmt.Sprintf("job.json:%d:", want.line)) && strings.Contains(line, want.fix)
			}) {
				t.Errorf("%s: of line %d it does not say %q:\n%s", args[0], want.line, want.fix, problems)
			}
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("something was made beside the job: %v, %v", entries, err)
	}
}

// An unknown key that is like no other is a warning, for files carry notes of others'; --strict makes it an error.
func TestStrict(t *testing.T) {
	job := object{"id": "gst", "owner": "finance", "query": "select 1 as id",
		"connections":  []object{{"id": "a", "driver": "sqlite", "dsn": sqliteDB(t, "create table sale (id integer)")}},
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}}
	noted := writeJob(t, "", job)
	if code, out, problems := call("validate", noted); code != exitComplete || !strings.Contains(out, "job gst is good: 1 connection, 1 destination") || !strings.Contains(problems, "owner") {
		t.Errorf("exit code %d: %s%s", code, out, problems)
	}
	if code, out, problems := call("validate", "--strict", noted); code != exitBadJob || out != "" || !strings.Contains(problems, "owner") {
		t.Errorf("strict: exit code %d: %s%s", code, out, problems)
	}
	delete(job, "owner")
	plain := writeJob(t, "", job)
	if code, out, problems := call("validate", "--strict", plain, noted); code != exitBadJob || !strings.Contains(out, plain) || strings.Contains(out, noted) || !strings.Contains(problems, "owner") {
		t.Errorf("of a good and a bad one: exit code %d: %s%s", code, out, problems)
	}
}

// Windows' shells leave patterns to programs: validate takes them, and names each file.
func TestValidateTakesPatterns(t *testing.T) {
	dir := t.TempDir()
	job := object{"query": "select 1 as id", "connections": []object{{"id": "a", "driver": "sqlite", "dsn": "a.db"}}, "destinations": []object{csvTo(dir, "{jobId}.csv", nil)}}
	for _, name := range []string{"one.json", "two.json", "[x].json"} {
		writeJob(t, filepath.Join(dir, name), job)
	}
	for pattern, want := range map[string]int{"*.json": 3, "[x].json": 1, "one.json": 1} {
		if code, out, problems := call("validate", filepath.Join(dir, pattern)); code != exitComplete || strings.Count(out, "is good") != want {
			t.Errorf("%s: exit code %d: %s%s", pattern, code, out, problems)
		}
	}
	if code, _, problems := call("validate", filepath.Join(dir, "*.yaml")); code != exitBadJob || !strings.Contains(problems, "*.yaml") {
		t.Errorf("of a pattern without files: exit code %d: %s", code, problems)
	}
}

// The schema that fanmill prints is JSON, and describes what there is: every destination with the keys that its sink
// reads, every driver.
func TestSchemaIsOfWhatThereIs(t *testing.T) {
	code, out, _ := call("schema")
	var schema struct {
		Defs struct {
			Connection struct {
				Properties map[string]struct{ Enum []string }
			}
			Destination struct {
				Properties map[string]struct{ Enum []string }
				AllOf      []struct {
					If struct {
						Properties map[string]struct {
							Const string
							Enum  []string
						}
					}
					Then struct{ Properties map[string]any }
				}
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(out), &schema); err != nil || code != exitComplete {
		t.Fatalf("exit code %d, %v", code, err)
	}
	same := func(what string, got, want []string) {
		t.Helper()
		slices.Sort(got)
		slices.Sort(want)
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %q, and there are %q", what, got, want)
		}
	}
	byType := map[string][]string{}
	for _, c := range schema.Defs.Destination.AllOf {
		var keys []string
		for key := range c.Then.Properties {
			keys = append(keys, key)
		}
		for _, name := range append(c.If.Properties["type"].Enum, c.If.Properties["type"].Const) {
			byType[name] = keys
		}
	}
	var names []string
	for name, kind := range sinks.Kinds() {
		names = append(append(names, name), kind.Aliases...)
		var keys []string
		if kind.Modes != nil {
			keys = append(keys, "mode")
		}
		for _, o := range kind.Options {
			keys = append(keys, o.Name)
		}
		same("keys of "+name, byType[name], keys)
	}
	same("destinations", schema.Defs.Destination.Properties["type"].Enum, names)
	var drivers []string
	for name := range stages.Kinds() {
		drivers = append(drivers, name)
	}
	same("drivers", schema.Defs.Connection.Properties["driver"].Enum, drivers)
}

// env shows every variable with where it comes from, and no credentials.
func TestEnvMasksCredentials(t *testing.T) {
	dir := t.TempDir()
	job := filepath.Join(dir, "job.json")
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte("QUERY_TIMEOUT_MS=7000\nMEMORY_THRESHOLD_MB=300\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_URL", "nats://app:hidden-word@nats.example.org:4222,nats://hidden-token@10.0.0.9")
	t.Setenv("MEMORY_THRESHOLD_MB", "512")
	for _, args := range [][]string{{"env", "--job", job}, {"env", "--job", job, "--json"}} {
		code, out, problems := call(args...)
		if code != exitComplete || strings.Contains(out+problems, "hidden") || !strings.Contains(out, "nats.example.org:4222") {
			t.Errorf("exit code %d: %s%s", code, out, problems)
		}
		for _, name := range []string{"RESUME_JOBS", "MEMORY_THRESHOLD_MB", "QUERY_TIMEOUT_MS", "NATS_URL", "FANMILL_DATA", "LOG_FORMAT", "LOG_LEVEL"} {
			if !strings.Contains(out, name) {
				t.Errorf("%v: %s is missing:\n%s", args, name, out)
			}
		}
	}
	_, out, _ := call("env", "--job", job, "--json")
	var vars []config.Variable
	if err := json.Unmarshal([]byte(out), &vars); err != nil {
		t.Fatal(err)
	}
	for _, v := range vars {
		want := map[string][2]string{"QUERY_TIMEOUT_MS": {"7000", config.SourceDotEnv}, "MEMORY_THRESHOLD_MB": {"512", config.SourceEnvironment}}[v.Name]
		if want[0] != "" && (v.Value != want[0] || v.Source != want[1]) {
			t.Errorf("%+v, want %v", v, want)
		}
		if v.Secret != (v.Name == "NATS_URL") {
			t.Errorf("%s is called secret: %v", v.Name, v.Secret)
		}
	}
	t.Setenv("LOG_FORMAT", "xml")
	if code, _, problems := call("env"); code != exitBadJob || !strings.Contains(problems, `LOG_FORMAT is "xml"; use text or json`) {
		t.Errorf("of a bad value it says, with exit code %d: %s", code, problems)
	}
}

// Every command says what it does and shows how it is used.
func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" { // cobra's own
			return
		}
		path := strings.Fields(c.CommandPath())[1:]
		code, out, problems := call(append(path, "--help")...)
		if code != exitComplete || c.Short == "" || c.Example == "" || !strings.Contains(out, c.Example) || problems != "" {
			t.Errorf("%s --help: exit code %d, %s%s", c.CommandPath(), code, out, problems)
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if !strings.Contains(line, "fanmill ") && !strings.Contains(line, "nats ") {
				t.Errorf("%s: the example %q runs nothing", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(os.Stdout, os.Stderr))
}

// A bad command line has the exit code of one, and says where help is.
func TestBadCommandLines(t *testing.T) {
	for _, args := range [][]string{
		{"nothing"}, {"checkpoint", "nothing"}, {"run"}, {"run", "a.json", "b.json"}, {"run", "--nothing"}, {"validate"}, {"status", "a", "b"}, {"runs", "a", "b"},
		{"checkpoint", "show"}, {"checkpoint", "export"}, {"serve", "--jobs"}, {"trigger"}, {"version", "x"}, {"demo", "--branches", "0"},
		{"run", "a.json", "--parallel", "0"}, {"run", "a.json", "--log-format", "xml"}, {"run", "a.json", "--memory-mb", "1"},
		// Flags that would have no effect.
		{"validate", "a.json", "--parallel", "3"}, {"check", "a.json", "--data", "x"}, {"preview", "a.json", "--verbose"}, {"serve", "--jobs", "x", "--json"},
		{"checkpoint", "rm", "x", "--parallel", "3"}, {"checkpoint", "export", "x", "--json"}, {"runs", "--verbose"},
		{"run", "a.json", "--target-moved"}, {"trigger", "a", "--target-moved"},
	} {
		if code, out, problems := call(args...); code != exitBadJob || out != "" || !strings.HasPrefix(problems, "fanmill: ") || strings.Count(problems, "\n") != 1 {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, exitBadJob, out, problems)
		}
	}
}

// A DSN that no database could read is named with the file's other mistakes, and none of it is repeated. One that
// leads nowhere is a good one.
func TestValidateReadsDSNs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "job.json")
	writeJob(t, path, object{"query": "select 1", "destinations": []object{csvTo(filepath.Dir(path), "a.csv", nil)}, "connections": []object{
		{"id": "a", "driver": "postgres", "dsn": "postgres://u:hidden@h:port/db"},
		{"id": "b", "driver": "mysql", "dsn": "u:hidden@tcp(h:3306/db"},
		{"id": "c", "driver": "sqlserver", "dsn": "sqlserver://u:hidden@h:port?database=d"},
		{"id": "d", "driver": "postgres", "dsn": "mysql://u:hidden@h/db"},
		{"id": "e", "driver": "postgres", "dsn": "postgres://u:p@nowhere.invalid/db?sslmode=verify-full&sslrootcert=nothing.pem"},
		{"id": "f", "driver": "sqlite", "dsn": "nothing.db"},
		{"id": "g", "driver": "mysql", "dsn": "u:hidden@tcp(h:3306)/db?tls=true&tlsca=nothing.pem"},
		{"id": "h", "driver": "sqlserver", "dsn": "sqlserver://u:hidden@h?database=d&certificate=nothing.pem"},
		{"id": "i", "driver": "sqlserver", "dsn": "sqlserver://u:hidden@h?database=d&encrypt=bogus"},
		{"id": "j", "driver": "mysql", "dsn": "u:hidden@tcp(h:3306)/db?tls=maybe"},
		{"id": "k", "driver": "postgres", "dsn": "postgres://u:hidden@h/db?sslmode=maybe"},
		{"id": "l", "driver": "postgres", "dsn": "postgres://u:hidden@h/db?default_query_exec_mode=bogus"},
	}})
	code, _, problems := call("validate", path)
	if code != exitBadJob || strings.Contains(problems, "hidden") || strings.Count(problems, "\n") != 8 {
		t.Errorf("exit code %d:\n%s", code, problems)
	}
	for i := range 4 {
		if !strings.Contains(problems, fmt.Sprintf("connections[%d].dsn: the DSN is neither a URL (", i)) {
			t.Errorf("connections[%d] is not named:\n%s", i, problems)
		}
	}
	for i, want := range []string{"invalid encrypt 'bogus'", "tls must be true", "sslmode is invalid", "default_query_exec_mode is none of"} {
		if !regexp.MustCompile(fmt.Sprintf(`connections\[%d\]\.dsn: .*%s`, 8+i, want)).MatchString(problems) {
			t.Errorf("%q is not said:\n%s", want, problems)
		}
	}
}

// What a flag should be is said in words, and which one was meant.
func TestFlagsThatCannotBeRead(t *testing.T) {
	for _, c := range [][3]string{
		{"--parallel", "abc", `--parallel is a whole number, not "abc"`},
		{"--log-max-mb", "1e3", `--log-max-mb is a whole number, not "1e3"`},
		{"--resume=maybe", "", `--resume is true or false, not "maybe"`},
		{"--query-timeout", "5", `--query-timeout is a time with its unit, such as 30s or 5m, not "5"`},
		{"--paralel", "3", `unknown flag: --paralel (did you mean --parallel?)`},
		{"--listen", "3", `unknown flag: --listen`},
	} {
		if code, _, problems := call("run", "a.json", c[0], c[1]); code != exitBadJob || !strings.HasPrefix(problems, "fanmill: "+c[2]+"; see fanmill run --help") {
			t.Errorf("%v: exit code %d: %s", c, code, problems)
		}
	}
}

// A folder that cannot be used is said with how to name another one.
func TestFoldersThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"status", "--data", filepath.Join(file, "data")}, exitFailed, "--data or FANMILL_DATA names another one"},
		{[]string{"run", dir}, exitBadJob, dir + " is a folder; name the job file in it"},
	} {
		if code, _, problems := call(c.args...); code != c.code || !strings.Contains(problems, c.want) {
			t.Errorf("%v: exit code %d: %s", c.args, code, problems)
		}
	}
}

// Of a job that never ran it is not said that nothing did.
func TestRunsOfAJobThatNeverRan(t *testing.T) {
	code, out, problems := call("runs", "job_gts", "--data", t.TempDir())
	if code != exitComplete || !strings.Contains(out, "no run of a job job_gts; `fanmill runs` lists those of all jobs") {
		t.Errorf("exit code %d: %s%s", code, out, problems)
	}
}

// A run is seen, cancelled and taken up again from other processes: cancel ends it with its exit code, what it has
// delivered is whole and in the checkpoint, and the resume asks for the rest alone.
func TestCancelFromAnotherProcess(t *testing.T) {
	t.Parallel()
	all := branches(t)[:2]
	job := object{"id": "gst", "query": "select id, amount from sale order by id", "connections": all, "destinations": []object{{"type": "csv", "filePath": outPath("gst.csv")}}}
	all[1]["query"] = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) as id, null as amount from n" // never ends
	w := newJob(t, job)
	child := w.start(nil)
	child.says("▶️ Executing connection: Pune")
	child.says("💾 Progressive CSV write: Delhi (2 rows) appended")

	var runs []screen.RunLine
	w.asked1(&runs, "runs", "--json")
	if len(runs) != 1 || runs[0].State != pipeline.RunRunning || runs[0].Total != 2 {
		t.Fatalf("the runs are %+v", runs)
	}
	run := runs[0].Run
	var now struct {
		Run, State, Owner string
		Connections       []screen.ConnectionView
	}
	w.asked1(&now, "status", "--json")
	if now.Run != run || now.State != "running" || now.Owner == "" || now.Connections[1].State != screen.StateRunning {
		t.Errorf("the status is %+v", now)
	}
	if code, out := w.ask("checkpoint", "rm", "gst"); code != exitFailed || !strings.Contains(out, "already running") {
		t.Errorf("a running run was given up: exit code %d, %s", code, out)
	}
	if code, out := w.ask("cancel", run); code != exitComplete || !strings.Contains(out, "run "+run+" of job gst: cancelling") {
		t.Errorf("cancel: exit code %d, %s", code, out)
	}
	if out := child.ends(exitInterrupted); !strings.Contains(out, "cancelled") || !strings.Contains(out, "--resume") {
		t.Errorf("the cancelled run said:\n%s", out)
	}
	w.holds("gst.csv", "id,amount\r\n1,1.50\r\n2,-2.00\r\n")
	if code, out := w.ask("cancel", run); code != exitFailed || !strings.Contains(out, "fanmill runs") {
		t.Errorf("cancel of a run that has ended: exit code %d, %s", code, out)
	}

	if code, out := w.ask("status", "gst"); code != 0 || !strings.Contains(out, "interrupted") || !strings.Contains(out, "cancelled") || !strings.Contains(out, "1 of 2 done") {
		t.Errorf("the status is, with exit code %d:\n%s", code, out)
	}
	if code, out := w.ask("checkpoint", "ls"); code != 0 || !strings.Contains(out, "gst: 1 of 2 connections delivered, 0 failed") {
		t.Errorf("checkpoint ls: exit code %d, %s", code, out)
	}
	if code, out := w.ask("checkpoint", "show", "gst"); code != 0 || !strings.Contains(out, "delivered (1 of 2): conn_1") {
		t.Errorf("checkpoint show: exit code %d, %s", code, out)
	}
	exported := filepath.Join(w.dir, "exported.json")
	if code, out := w.ask("checkpoint", "export", "gst", exported); code != 0 {
		t.Errorf("checkpoint export: exit code %d, %s", code, out)
	}
	mirror := filepath.Join(w.dir, "logs", "checkpoints", "gst.json")
	for _, path := range []string{exported, mirror} {
		if c := readJSON[pipeline.PublicCheckpoint](t, path); c.JobID != "gst" || !slices.Equal(c.CompletedConnectionIDs, []string{"conn_1"}) || c.TotalConnections != 2 {
			t.Errorf("%s has %+v", filepath.Base(path), c)
		}
	}

	w.askedSince()
	delete(all[1], "query")
	w.put(job)
	if out := w.mustRun(exitComplete, nil, "--resume"); !strings.Contains(out, "run "+run+": complete") || !strings.Contains(out, "⏭️ Skipping already-completed connection: Delhi") {
		t.Errorf("the resume said:\n%s", out)
	}
	if asked := w.askedSince(); len(asked) != 1 || asked[0] != all[1]["dsn"] {
		t.Errorf("the resume asked %v", asked)
	}
	w.holds("gst.csv", "id,amount\r\n1,1.50\r\n2,-2.00\r\n11,1.50\r\n12,-2.00\r\n")
	if code, out := w.ask("checkpoint", "ls"); code != 0 || !strings.Contains(out, "no checkpoints") {
		t.Errorf("full success left a checkpoint: exit code %d, %s", code, out)
	}
	if _, err := os.Stat(mirror); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("full success left %s: %v", mirror, err)
	}
}

// asked1 is ask for a result in JSON.
func (w *world) asked1(v any, args ...string) {
	w.t.Helper()
	code, out := w.ask(args...)
	if err := json.NewDecoder(strings.NewReader(out)).Decode(v); err != nil || code != exitComplete { // standard error follows
		w.t.Fatalf("%v: exit code %d, %v: %s", args, code, err, out)
	}
}

// checkpoint rm gives an unfinished run up: nothing private stays, the file stays as it was published, and a resume
// has nothing to go on with.
func TestCheckpointRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100, 200, 300)
	if code, out := w.run([]string{"FANMILL_FAILPOINT=after-publish:2"}); code != -1 {
		t.Fatalf("exit code %d; it said:\n%s", code, out)
	}
	var runs []screen.RunLine
	w.asked1(&runs, "runs", "gst", "--json")
	if code, out := w.ask("checkpoint", "rm", "gst"); code != exitComplete || !strings.Contains(out, "run "+runs[0].Run+" is given up") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	w.whole()
	if _, err := os.Stat(w.out(".fanmill")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("private files were left: %v", err)
	}
	if code, out := w.ask("checkpoint", "show", "gst"); code != exitFailed || !strings.Contains(out, "no checkpoint") {
		t.Errorf("it is still there: exit code %d, %s", code, out)
	}
	if code, out := w.ask("checkpoint", "rm", "gst"); code != exitFailed || !strings.Contains(out, "no unfinished run") {
		t.Errorf("again: exit code %d, %s", code, out)
	}
	w.askedSince()
	if out := w.mustRun(exitComplete, nil, "--resume"); !strings.Contains(out, "has no unfinished run; starting a new one") {
		t.Errorf("the resume said:\n%s", out)
	}
	if asked := w.askedSince(); len(asked) != 3 {
		t.Errorf("the new run asked %v", asked)
	}
	w.exact()
	w.tidy()
	var after []screen.RunLine
	w.asked1(&after, "runs", "--limit", "0", "--json")
	if len(after) != 2 || after[0].State != pipeline.RunComplete || after[0].Done != 3 || after[0].Rows != 600 || after[1].State != pipeline.RunAbandoned {
		t.Errorf("the runs are %+v", after)
	}
}

// Every run has its log, whatever the screen shows; the newest 30 of a job are kept, and other jobs' are not touched.
func TestRunLogs(t *testing.T) {
	w := newWorld(t, 10)
	logs := filepath.Join(w.dir, "logs", "gst")
	other := filepath.Join(w.dir, "logs", "other", "old.log")
	if err := errors.Join(os.MkdirAll(logs, 0o700), os.MkdirAll(filepath.Dir(other), 0o700), os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for i := range 35 {
		name := filepath.Join(logs, fmt.Sprintf("run-%02d.log", i))
		at := time.Now().Add(time.Duration(i-40) * time.Hour)
		if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr := w.apart(exitComplete, nil, "--quiet")
	if stderr != "" || !strings.Contains(stdout, "complete") {
		t.Errorf("quiet, it printed %q and said %q", stdout, stderr)
	}
	names, err := filepath.Glob(filepath.Join(logs, "*.log"))
	if err != nil || len(names) != 30 || slices.Contains(names, filepath.Join(logs, "run-05.log")) || !slices.Contains(names, filepath.Join(logs, "run-06.log")) {
		t.Fatalf("the logs are %v, %v", names, err)
	}
	text, err := os.ReadFile(names[0]) // its name begins with the year
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"▶️ Executing connection: Branch_001", "💾 Progressive Excel write: Branch_001 (10 rows) appended", "ended: complete"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the log does not say %q:\n%s", want, text)
		}
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// run --json prints one object and nothing else, with LOG_FORMAT=json every line beside it is an object, too.
func TestRunForMachines(t *testing.T) {
	w := newWorld(t, 10, 20)
	v, said := w.runJSON(exitComplete, []string{"LOG_FORMAT=json"})
	if v.State != "complete" || v.Done != 2 || v.Total != 2 || v.Rows != 30 || v.Run == "" || v.Connections[1].Rows != 20 || v.Resume != "" {
		t.Errorf("it printed %+v", v)
	}
	appended := 0
	for line := range strings.Lines(said) {
		var l struct{ Msg, Run, Connection, Destination string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if strings.HasSuffix(l.Msg, "ended: complete") && l.Run != v.Run {
			t.Errorf("of the end it is not said whose it is: %s", line)
		}
		if strings.HasPrefix(l.Msg, "💾 Progressive ") && l.Run == v.Run && strings.HasPrefix(l.Connection, "conn_") && l.Destination != "" {
			appended++
		}
	}
	if appended != 4 {
		t.Errorf("%d of 4 appends were told:\n%s", appended, said)
	}
}

// Two jobs that a schedule starts in the same moment share the embedded server: neither fails, whichever ends first,
// time after time.
func TestTwoJobsAtOnce(t *testing.T) {
	t.Parallel()
	rounds := 3
	if raceEnabled {
		rounds = 1
	}
	dir := t.TempDir()
	var worlds []*world
	for i, rows := range [][]int{{12000, 200, 300}, {100}} {
		w := newWorld(t, rows...)
		text, err := os.ReadFile(w.job())
		if err == nil {
			err = os.WriteFile(w.job(), []byte(strings.Replace(string(text), `"id": "gst"`, fmt.Sprintf(`"id": "gst-%d"`, i), 1)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.args[1] = filepath.Join(dir, "data")
		worlds = append(worlds, w)
	}
	for range rounds {
		var children []*server
		for _, w := range worlds {
			children = append(children, w.start(nil))
		}
		for _, child := range children {
			child.ends(exitComplete)
		}
		for _, w := range worlds {
			w.exact()
			w.tidy()
		}
	}
}
