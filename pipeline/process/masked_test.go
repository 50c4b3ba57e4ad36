package process_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
)

// stored is everything in the node's buckets, as one text.
func (w *world) stored(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, kv := range []pipeline.KV{w.node.Stores.Jobs, w.node.Stores.Runs, w.node.Stores.Checkpoints} {
		keys, err := kv.Keys(t.Context(), ">")
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			e, err := kv.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&all, "%s %s\n", key, e.Value)
		}
	}
	return all.String()
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// wordy is a secret that is spelled differently by everybody.
const wordy = "s3cret/ünd\"more+<of>it"

// manySpellings is the secret in an error, as libraries repeat it.
func manySpellings() string {
	quoted, _ := json.Marshal(wordy)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(wordy)
	return strings.Join([]string{"was", wordy, base64.StdEncoding.EncodeToString([]byte("user:" + wordy + "!")), base64.URLEncoding.EncodeToString([]byte(wordy)),
		url.QueryEscape(wordy), strings.ToLower(url.PathEscape(wordy)), string(quoted), plain.String(), fmt.Sprintf("%q", wordy)}, " , ")
}

// showsSecret looks for parts of the secret that no spelling changes, and the middles of its Base64.
func showsSecret(text string) bool {
	inner := base64.RawStdEncoding.EncodeToString([]byte(wordy))
	shifted := base64.RawStdEncoding.EncodeToString([]byte("user:" + wordy + "!"))
	for _, part := range []string{"s3cret", "more", inner[4 : len(inner)-4], shifted[8 : len(shifted)-4]} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
			return true
		}
	}
	return false
}

// What a sink says of its secrets is seen nowhere: not in the log, the events, the records, the reports, or the error.
func TestSecretsOfASinkAreSeenNowhere(t *testing.T) {
	w := newWorld(t, 8*mb)
	var log lockedBuffer
	w.node.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.node.Timeout = time.Millisecond
	kind := hookKind(w)
	make := kind.New
	kind.New = func(spec pipeline.SinkSpec) (pipeline.Sink, error) {
		var o hookOptions
		if err := spec.Decode(hook, &o); err != nil {
			return nil, err
		}
		if o.Auth.Token != "Bearer "+wordy {
			t.Errorf("the token is %q", o.Auth.Token)
		}
		spec.Hide("fetched-token")
		spec.Log.With("by", manySpellings()).WithGroup("g").Warn(manySpellings(), "error", errors.New(manySpellings()), "text", manySpellings(), slog.Group("in", "url", "fetched-token"))
		return make(spec)
	}
	kind.Probe = func(context.Context, pipeline.SinkSpec) error { return nil }
	w.node.Sinks["hook"] = kind
	w.connect("a", of(5, 10))
	w.connect("b", of(5, 10))
	w.deliverTo("d")
	w.disk.failing(func(_, step, connection string) error {
		switch {
		case step == "open" && connection == "b":
			return &pipeline.RejectError{Reason: manySpellings()}
		case step == "stage":
			return fmt.Errorf("post: %w", &pipeline.Trouble{Err: errors.New(manySpellings())})
		}
		return nil
	})
	d := &w.job.Destinations[0]
	d.Type, d.FilePath, d.Options = "hook", "", json.RawMessage(`{"url": "https://h", "auth": {"token": "Bearer ${TOKEN}"}}`)
	def := w.definition()
	def.Expand = func(s string) (string, error) { return strings.ReplaceAll(s, "${TOKEN}", wordy), nil }
	out, err := w.node.Run(t.Context(), def, pipeline.Trigger{})
	if err != nil {
		t.Fatal(err)
	}
	reports, err := json.Marshal(out.Reports)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"log": log.String(), "store": w.stored(t), "reports": string(reports)} {
		if showsSecret(text) || strings.Contains(text, "fetched-token") {
			t.Errorf("the %s shows the secret: %s", what, text)
		}
		if !strings.Contains(text, "was , ***") {
			t.Errorf("the %s says nothing of the error: %s", what, text)
		}
	}
}

// A masked error is of the kind and scope that it was, and what is taken out of it is masked, too.
func TestMaskedErrors(t *testing.T) {
	var s pipeline.Secrets
	s.Add(wordy)
	s.Add("abc")
	if got := s.Mask("abc and " + wordy); got != "abc and ***" {
		t.Errorf("masked: %s", got)
	}
	err := fmt.Errorf("send: %w", s.Error(pipeline.Permanent(&pipeline.Trouble{Scope: pipeline.OfTarget, After: time.Second, Err: errors.New(manySpellings())})))
	trouble := pipeline.TroubleOf(err)
	if !pipeline.IsPermanent(err) || trouble.Scope != pipeline.OfTarget || trouble.After != time.Second || showsSecret(trouble.Error()+err.Error()) {
		t.Errorf("%v, %+v", err, trouble)
	}
	var reject *pipeline.RejectError
	if !errors.As(s.Error(&pipeline.RejectError{Reason: "no " + wordy}), &reject) || reject.Reason != "no ***" {
		t.Errorf("%+v", reject)
	}
	var syntax *json.SyntaxError
	if errors.As(s.Error(&json.SyntaxError{}), &syntax) {
		t.Error("an error that may have the secret can be taken out")
	}
	if s.Error(nil) != nil {
		t.Error("no error became one")
	}
}

// A target that will stay unreachable ends the run before a database is asked; one that may come back is waited for.
func TestTargetsAreProbedFirst(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
	}{
		{pipeline.Permanent(errors.New("no such host " + wordy)), "destination d (https://h): no such host ***; nothing was asked"},
		{&pipeline.Trouble{Scope: pipeline.OfTarget, Err: errors.New("401")}, "destination d (https://h): 401"},
		{pipeline.Transient(errors.New("refused")), ""},
		{nil, ""},
	} {
		w := newWorld(t, 8*mb)
		kind := hookKind(w)
		probed := 0
		kind.Probe = func(_ context.Context, spec pipeline.SinkSpec) error {
			probed++
			if _, err := spec.Expand("${TOKEN}"); err != nil {
				return err
			}
			return c.err
		}
		w.node.Sinks["hook"] = kind
		w.connect("a", of(5, 10))
		w.deliverTo("d")
		d := &w.job.Destinations[0]
		d.Type, d.FilePath, d.Options = "hook", "", json.RawMessage(`{"url": "https://h"}`)
		def := w.definition()
		def.Expand = func(s string) (string, error) { return strings.ReplaceAll(s, "${TOKEN}", wordy), nil }
		resolve := def.Resolve
		def.Resolve = func(run string, at time.Time) ([]pipeline.ManifestDestination, error) {
			ds, err := resolve(run, at)
			ds[0].Target = kind.Where(ds[0].Options)
			return ds, err
		}
		out, err := w.node.Run(t.Context(), def, pipeline.Trigger{})
		switch {
		case probed != 1:
			t.Errorf("%v: probed %d times", c.err, probed)
		case c.says == "" && (err != nil || out.State != pipeline.RunComplete):
			t.Errorf("%v: %v", c.err, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%v: got %v, want %s", c.err, err, c.says)
		}
	}
}

// What is shown of a URL has no password and no query in it, and its references as they are.
func TestWhereRowsGo(t *testing.T) {
	kind := &pipeline.SinkKind{Label: "webhook", Options: hook, TargetKey: "url", Traits: pipeline.Traits{Target: pipeline.TargetURL}}
	for at, want := range map[string]string{
		"https://app:hidden@h:8443/in/?key=hidden#x": "https://h:8443/in", "https://h": "https://h", "${HOOK}": "${HOOK}", "https://${HOST}/a?t=${T}": "https://${HOST}/a", "": "webhook",
	} {
		raw, _ := json.Marshal(map[string]string{"url": at})
		if got := kind.Where(raw); got != want {
			t.Errorf("%s: got %s, want %s", at, got, want)
		}
	}
}
