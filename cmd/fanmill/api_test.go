package main

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"fanmill/nats"
)

// Who serves answers as a NATS service what the commands print as JSON, and refuses with a code and what to do.
func TestServiceAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30, 40)
	w.queries = map[int]string{1: "select * from nothing"}
	w.write()
	s := w.serve()
	defer s.stop()
	conn, err := nats.Open(t.Context(), nats.Options{DataDir: filepath.Join(w.dir, "data"), Guest: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	ask := func(subject, id, question string) map[string]any {
		t.Helper()
		data, err := conn.Bus().Ask(t.Context(), subject, id, []byte(question))
		var v map[string]any
		if err == nil {
			err = json.Unmarshal(data, &v)
		}
		if err != nil {
			t.Fatalf("%s %s: %v; it says %s", subject, question, err, data)
		}
		return v
	}
	refused := func(code int, want, subject, question string) {
		t.Helper()
		v := ask(subject, "", question)
		if text, _ := v["error"].(string); v["code"] != float64(code) || !strings.Contains(text, want) {
			t.Errorf("%s %s: it says %v, want %d and %q", subject, question, v, code, want)
		}
	}
	asPrinted := func(v map[string]any, args ...string) {
		t.Helper()
		_, out := w.ask(append(args, "--json")...)
		var want map[string]any
		if err := json.Unmarshal([]byte(out), &want); err != nil || !reflect.DeepEqual(v, want) {
			t.Errorf("it says\n%v\nand fanmill %v\n%v\n%v", v, args, want, err)
		}
	}
	if v := ask("fanmill.api.run.gst", "first", `{"params":{}}`); v["run"] != "first" || v["job"] != "gst" || v["error"] != nil {
		t.Fatalf("it says %v", v)
	}
	s.says("run first ended: partial")
	asPrinted(ask("fanmill.api.status", "", `{"job":"gst"}`), "status", "gst")
	asPrinted(ask("fanmill.api.status", "", `{"run":"first"}`), "status", "first")
	asPrinted(ask("fanmill.api.checkpoint", "", `{"job":"gst"}`), "checkpoint", "show", "gst")

	refused(404, "fanmill runs lists", "fanmill.api.status", `{"job":"other"}`)
	refused(404, "fanmill checkpoint ls lists", "fanmill.api.checkpoint", `{"job":"other"}`)
	refused(400, `send {"job":"<id>"}`, "fanmill.api.status", `{"jobs":"gst"}`)
	refused(400, "send", "fanmill.api.checkpoint", ``)
	refused(400, "by its id", "fanmill.api.cancel", `{"job":"gst"}`)
	refused(409, "it is partial", "fanmill.api.cancel", `{"run":"first"}`)
	refused(409, `there is no job "other"`, "fanmill.api.run.other", `{}`)
	refused(409, "brings one along", "fanmill.api.run.gst", `{"job":{"id":"other"}}`)
}

// What there is to be a version of a service is one.
func TestSemanticVersions(t *testing.T) {
	for version, want := range map[string]string{"v0.1.0": "0.1.0", "v1.2.3-rc.1": "1.2.3-rc.1", "(devel)": "0.0.0+devel", "0123456789ab": "0.0.0+0123456789ab", "": "0.0.0"} {
		if got := semantic(version); got != want {
			t.Errorf("%q becomes %q, want %q", version, got, want)
		}
	}
}
