package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fanmill/pipeline"
	"fanmill/pipeline/outfile"
	"fanmill/sinks/parquet"
)

// Whatever tokens bring in, a name leaves room for those beside it, is whole characters, and is another one for
// another value.
func TestLongNamesAreCut(t *testing.T) {
	const room = outfile.MaxName - outfile.Companions
	letters := strings.Repeat("x", 400)
	for path, want := range map[string]int{ // bytes at most
		"{jobName}.csv": maxValue + 4, "{jobName} {connection}.csv": room, "{jobName}{jobId}{connection}{query}{runId}.csv": room,
		"{jobName} {date} " + strings.Repeat("y", 160) + ".csv": room, strings.Repeat("y", room-minValue) + "{jobName}": room,
		"{connection}/a.csv": maxValue, "{jobName}{jobId}{connection}{query}/a.csv": outfile.MaxName,
	} {
		seen := map[string]string{}
		for _, long := range []string{letters, letters + "1", strings.Repeat("é", 200), strings.Repeat("नि", 100), strings.Repeat("👨\u200d👩\u200d👧", 30), "short", strings.Repeat("日本", 90) + "."} {
			v := tokenValues{jobID: long, jobName: long, run: long, date: time.Now(), connection: long, query: long}
			out, err := resolve(path, v, "windows")
			if err != nil {
				t.Errorf("%.30s of %.10s: %v", path, long, err)
				continue
			}
			name, _, _ := strings.Cut(out, "/")
			if len(name) > want || !utf8.ValidString(name) {
				t.Errorf("%.30s of %.10s: %d bytes, at most %d: %s", path, long, len(name), want, name)
			}
			if other, twice := seen[out]; twice {
				t.Errorf("%.30s: %s stands for %.10s and for %.10s", path, out, long, other)
			}
			seen[out] = long
			if strings.Contains(path, "{date}") && !strings.Contains(out, v.date.Format(time.DateOnly)) {
				t.Errorf("%s has no date", out)
			}
		}
	}
}

// A cut stands between characters as people see them.
func TestCutBetweenCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"abcdefghijklmnop":              "abcdef~",
		"abcde\u0301fghijklmnop":        "abcd~", // an accent of its own
		"abc👨\u200d👩\u200d👧xxxxxxxxxxx": "abc~",
		"abcde  . fghijklmnop":          "abcde~",
	} {
		got := cutValue(in, 15)
		if stem, _, _ := strings.Cut(got, cutMark); stem+cutMark != want || len(got) > 15 {
			t.Errorf("%q is cut to %q, want %q", in, got, want)
		}
	}
	if got := cutValue("abcdefghijklmno", 15); got != "abcdefghijklmno" {
		t.Errorf("what fits is cut to %q", got)
	}
}

// What the user wrote is not cut but refused, with its length and what fits.
func TestLongLiteralsAreRefused(t *testing.T) {
	v := tokenValues{jobID: "j", jobName: "job", date: time.Now()}
	long := strings.Repeat("é", 130)
	for path, words := range map[string][]string{
		"out/" + long + ".csv":               {"file name", "has 264 bytes", "at most 231", "manifest.json", "24"},
		"out/" + long + "/a.csv":             {"folder name", "has 260 bytes", "at most 255"},
		strings.Repeat("y", 215) + "{jobId}": nil,
		strings.Repeat("y", 231):             nil,
		strings.Repeat("y", 232):             {"has 232 bytes"},
		strings.Repeat("y", 231) + "{jobId}": {"has 231 bytes beside its tokens", "room for 20"},
	} {
		out, err := resolve(path, v, "linux")
		if words == nil {
			if err != nil || len(out) > 231 {
				t.Errorf("%.20s: %d bytes, %v", path, len(out), err)
			}
			continue
		}
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%.20s: it does not say %q: %v", path, w, err)
			}
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%d bytes of words: %v", len(err.Error()), err)
		}
	}
}

// A thousand branches whose long names differ at the end only have a thousand files.
func TestLongNamesOfBranchesStayDifferent(t *testing.T) {
	j := &pipeline.Job{ID: "j", Name: strings.Repeat("n", 300)}
	for i := range 1000 {
		j.Connections = append(j.Connections, pipeline.Connection{ID: string(rune('a'+i%26)) + time.Duration(i).String(), Name: strings.Repeat("Filiale ", 40) + time.Duration(i/2).String()})
	}
	var o output
	if err := o.place(j, nil, "{connection} {jobName}.csv", valuesOf(j, "run", time.Now()), "linux"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range o.Files {
		if seen[fold(f)] {
			t.Fatalf("two branches have the file %s", f)
		}
		seen[fold(f)] = true
	}
}

// The folders of a dataset give the names of connections back, whatever those are, and differ where no case is told.
func TestPartitionsOfConnections(t *testing.T) {
	j := &pipeline.Job{ID: "j", Name: "Job"}
	names := []string{"Pune", "pune", "a/b:c", "_x", "50%", "दिल्ली", "CON"}
	for _, name := range names {
		j.Connections = append(j.Connections, pipeline.Connection{ID: name, Name: name})
	}
	kind := &pipeline.SinkKind{Partition: parquet.Partition}
	var o output
	if err := o.place(j, kind, "/out/Branch={connection}/{connection}-{jobName}.parquet", valuesOf(j, "run", time.Now()), "linux"); err != nil {
		t.Fatal(err)
	}
	want := []string{"Branch=Pune/Pune-Job", "Branch=pune (2)/pune (2)-Job", "Branch=a%2Fb%3Ac/a_b_c-Job", "Branch=%5Fx/_x-Job", "Branch=50%25/50%-Job", "Branch=दिल्ली/दिल्ली-Job", "Branch=%43ON/CON-Job"}
	for i, f := range o.Files {
		if filepath.ToSlash(f) != "/out/"+want[i]+".parquet" {
			t.Errorf("%s has the file %s, want %s", names[i], f, want[i])
		}
	}
	if err := o.place(j, kind, "/out/Branch={connection}{jobName}/x.parquet", valuesOf(j, "run", time.Now()), "linux"); err != nil || filepath.ToSlash(o.Files[2]) != "/out/Branch=a_b_cJob/x.parquet" {
		t.Errorf("%v, %v", o.Files[2], err) // no partition: it has more than the connection's name
	}
}

// On Windows what the user wrote is looked at beside tokens, too.
func TestWindowsRunesBesideTokens(t *testing.T) {
	v := tokenValues{jobName: "a|b", date: time.Now()}
	if _, err := resolve("D:/Reports/a|{date}.csv", v, "windows"); err == nil || !strings.Contains(err.Error(), "has a |") {
		t.Errorf("it is %v", err)
	}
	if out, err := resolve("D:/Reports/{jobName}.csv", v, "windows"); err != nil || out != "D:/Reports/a_b.csv" {
		t.Errorf("%q, %v", out, err)
	}
}
