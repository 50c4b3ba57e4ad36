package web

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"fanmill/pipeline"
)

// full is a backend with something on every page, all of whose texts are hostile.
func full() *fake {
	f := newFake()
	r := someRun("r1", 3)
	r.JobID, r.JobName, r.Error, r.State, r.Ended = hostile, hostile, hostile, "partial", time.Now()
	r.Owing, r.Owner, r.Resume = []string{hostile}, hostile, hostile
	r.Params[0] = Param{hostile, hostile, hostile}
	r.Suggestions, r.Drift = []string{hostile}, []string{hostile}
	r.Charts[0].Name = hostile
	r.Connections[0] = Connection{ID: hostile, Name: hostile, State: "failed", Missing: []Missing{{hostile, "failed", hostile}}, Losses: []Loss{{hostile, hostile, hostile, 3}}, Notes: []Note{{hostile, hostile}}}
	r.Destinations[0] = Destination{ID: hostile, Label: hostile, Where: hostile, State: hostile, Error: hostile, Unclaimed: time.Now(),
		Requests: &Requests{Total: 3, Refused: 1, Last: &Receipt{ID: hostile, Notes: []string{hostile}}, IDs: []string{hostile}}, Files: []File{{Name: hostile, Path: hostile, SHA256: hostile}, {Name: hostile, Why: hostile}}}
	f.runs = []Run{r, someRun("r2", 2)}
	f.jobs = []Job{{ID: hostile, Name: hostile, Path: hostile, Problem: hostile, TimeZone: hostile, Facts: []Fact{{hostile, hostile}}, Params: []Param{{hostile, hostile, hostile}},
		Connections: []JobConnection{{hostile, hostile, hostile, map[string]string{hostile: hostile}}}, Queries: []JobQuery{{hostile, hostile, 3}},
		Destinations: []JobDestination{{hostile, hostile, hostile, hostile, hostile}}, Last: []RunLine{r.RunLine}}}
	f.points = []Checkpoint{{JobID: hostile, JobName: hostile, Run: "r1", State: hostile, Completed: []string{hostile}, Failed: []string{hostile}, Missing: []string{hostile}, Total: 3}}
	f.letters = []Letter{{Key: "k1", JobID: hostile, Run: "r1", Destination: hostile, Where: hostile, Connection: hostile, State: hostile, Error: hostile, Answer: hostile, Body: hostile, More: true, SHA256: hostile}}
	f.log = hostile
	return f
}

// hostileJob is the address of the job with the hostile id.
var hostileJob = pipeline.Token(hostile)

var everyPage = []string{"/", "/runs/r1", "/runs/r2", "/jobs", "/jobs/" + hostileJob, "/checkpoints", "/dead", "/dead/k1", "/?job=" + "x&state=%3Cscript%3E&day=%22%3E%3Cscript%3E", "/runs/%3Cscript%3E"}

// No data becomes markup, on any page: whatever a job, a connection, a receiver or a database is called or says.
func TestNothingBecomesMarkup(t *testing.T) {
	s := New(Options{Words: words})
	s.Attach(full())
	for _, target := range everyPage {
		page := text(t, browse(t, s).get(target))
		for _, bad := range []string{"<img", "onerror=\"document", "<script>", "owned'</", `"'&` + "`"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %q", target, bad)
			}
		}
		if strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s: a value stands where the template cannot let it", target)
		}
		if n := strings.Count(page, "</table>"); n != strings.Count(page, "<table") {
			t.Errorf("%s: tables do not close", target)
		}
		if found := regexp.MustCompile(`\sstyle=|\son\w+=|javascript:`).FindString(strings.ReplaceAll(page, "onerror=&#34;", "")); found != "" {
			t.Errorf("%s has %q, which the content policy forbids", target, found)
		}
	}
}

// What is not there is said in words, with the right status.
func TestWhatIsNotThere(t *testing.T) {
	s := New(Options{Words: words})
	f := full()
	s.Attach(f)
	for target, want := range map[string]string{"/runs/nothing": "there is no run", "/jobs/nothing": "there is no job", "/dead/nothing": "there is no dead request", "/checkpoints/nothing/export": "has no checkpoint", "/nowhere": "no such page",
		"/runs/r1/files/csv/7": "no such file", "/runs/r1/files/..%2f..%2fetc%2fpasswd/0": "no such file", "/runs/r1/files/csv/..%5cx": "no such file"} {
		if r := browse(t, s).get(target); r.StatusCode != http.StatusNotFound || !strings.Contains(text(t, r), want) {
			t.Errorf("%s: status %d", target, r.StatusCode)
		}
	}
	f.notReady = errors.New("the store is away")
	for _, target := range []string{"/", "/runs/r2", "/jobs", "/api/v1/runs"} {
		r := browse(t, s).get(target)
		if page := text(t, r); r.StatusCode != http.StatusInternalServerError || !strings.Contains(page, "the store is away") {
			t.Errorf("%s without a store: status %d", target, r.StatusCode)
		}
	}
	s.Attach(nil)
	if r := browse(t, s).get("/"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before the store is open: status %d", r.StatusCode)
	}
}

func TestRunsAreFiltered(t *testing.T) {
	f := newFake()
	for i, state := range []string{"running", "partial", "complete", "complete"} {
		r := someRun("run-"+string(rune('a'+i)), 1)
		r.State, r.JobID = state, []string{"x", "y"}[i%2]
		r.Started = time.Date(2026, 4, 1+i, 12, 0, 0, 0, time.Local)
		f.runs = append(f.runs, r)
	}
	s := New(Options{Words: words})
	s.Attach(f)
	for query, want := range map[string]string{"": "abcd", "job=x": "ac", "state=complete": "cd", "day=2026-04-02": "b", "job=y&state=complete": "d", "job=z": ""} {
		page := text(t, browse(t, s).get("/?"+query))
		got := ""
		for _, m := range regexp.MustCompile(`class="run">run-(.)<`).FindAllStringSubmatch(page, -1) {
			got += m[1]
		}
		if got != want {
			t.Errorf("?%s shows %q, want %q", query, got, want)
		}
		var lines []RunLine
		if err := json.Unmarshal([]byte(text(t, browse(t, s).get("/api/v1/runs?"+query))), &lines); err != nil || len(lines) != len(want) {
			t.Errorf("the API lists %d for ?%s, %v", len(lines), query, err)
		}
	}
	f.runs = nil
	for range 120 {
		f.runs = append(f.runs, someRun("r"+random(), 1))
	}
	s = New(Options{Words: words}) // one that has not looked yet
	s.Attach(f)
	page := text(t, browse(t, s).get("/?page=1"))
	if n := strings.Count(page, `class="run"`); n != listed || !strings.Contains(page, `rel="prev"`) || !strings.Contains(page, `rel="next"`) {
		t.Errorf("the second page has %d runs", n)
	}
}

// A download has the name of the file, and nothing that a browser would open.
func TestDownload(t *testing.T) {
	s := New(Options{Words: words})
	s.Attach(full())
	for _, target := range []string{"/runs/r1/files/csv/0", "/api/v1/runs/r1/files/csv/0"} {
		r := browse(t, s).get(target)
		if text(t, r) != "a,b\n" || r.Header.Get("Content-Type") != "application/octet-stream" || len(r.Header.Get("X-Sha256")) != 64 {
			t.Fatalf("%s: %d %v", target, r.StatusCode, r.Header)
		}
		kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Disposition"))
		if err != nil || kind != "attachment" || params["filename"] != `Verkäufe "März".csv` {
			t.Errorf("the name is %q, %v", r.Header.Get("Content-Disposition"), err)
		}
	}
}

// The OpenAPI document has every address of the API, and each answers with JSON that fits its schema.
func TestOpenAPI(t *testing.T) {
	s := New(Options{Words: words})
	s.Attach(full())
	var doc struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any
				Required   []string
			}
		}
	}
	if err := json.Unmarshal([]byte(text(t, browse(t, s).get("/api/v1/openapi.json"))), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || len(doc.Paths) == 0 {
		t.Fatalf("the document is %+v", doc)
	}
	seen := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if seen[op.OperationID] {
				t.Errorf("two operations are called %s", op.OperationID)
			}
			seen[op.OperationID] = true
			if method != "get" {
				continue // see TestChangesByAPI
			}
			target := apiRoot + strings.NewReplacer("{run}", "r1", "{job}", hostileJob, "{key}", "k1", "{destination}", "csv", "{number}", "0").Replace(path)
			r := browse(t, s).get(target)
			body := text(t, r)
			if r.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d: %s", target, r.StatusCode, body)
				continue
			}
			content := op.Responses["200"].Content
			if _, ok := content[strings.Split(r.Header.Get("Content-Type"), ";")[0]]; !ok {
				t.Errorf("%s answers with %s, the document says %v", target, r.Header.Get("Content-Type"), content)
			}
			schema, ok := content["application/json"]
			if !ok || len(schema.Schema) == 0 {
				continue
			}
			name, isList := schema.Schema["$ref"].(string)
			if items, ok := schema.Schema["items"].(map[string]any); ok && !isList {
				name, _ = items["$ref"].(string)
			}
			of := doc.Components.Schemas[strings.TrimPrefix(name, "#/components/schemas/")]
			var one map[string]any
			var list []map[string]any
			if json.Unmarshal([]byte(body), &list) == nil && len(list) > 0 {
				one = list[0]
			} else if err := json.Unmarshal([]byte(body), &one); err != nil {
				t.Errorf("%s: %v", target, err)
			}
			for key := range one {
				if _, ok := of.Properties[key]; !ok {
					t.Errorf("%s answers with %s, which %s does not have", target, key, name)
				}
			}
			for _, key := range of.Required {
				if _, ok := one[key]; !ok {
					t.Errorf("%s has no %s, which %s requires", target, key, name)
				}
			}
		}
	}
}

// Pages of runs that moved while nobody looked have what the stream sends: both are made by the same templates.
func TestPageIsWhatTheStreamSends(t *testing.T) {
	f := full()
	s := New(Options{Words: words})
	s.Attach(f)
	look, _ := s.topicOf("run/r1")
	now, err := look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/runs/r1", nil)
	r.Host = "localhost"
	s.ServeHTTP(w, r)
	page := w.Body.String()
	for _, p := range now.parts {
		html, err := s.made(p)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, html) {
			t.Errorf("the page does not have the part %s:\n%s", p.id, html)
		}
		if strings.Count(page, ` id="`+p.id+`"`) != 1 {
			t.Errorf("the page has not exactly one element %s", p.id)
		}
	}
}
