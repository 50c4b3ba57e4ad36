package receiver_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fanmill/internal/receiver"
)

func start(t *testing.T, o receiver.Options) *receiver.Receiver {
	t.Helper()
	r, err := receiver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// send returns the status, or 0 if there was no answer.
func send(t *testing.T, r *receiver.Receiver, key, body string, header ...string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", key)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestDeduplicates(t *testing.T) {
	r := start(t, receiver.Options{})
	r.Script(receiver.StoreAndDrop())
	if s := send(t, r, "a", `[{"n":1}]`); s != 0 {
		t.Fatalf("%d", s)
	}
	if s := send(t, r, "a", `[{"n":1}]`); s != 200 || len(r.Stored()) != 1 || len(r.Requests()) != 2 || !r.Requests()[1].Duplicate {
		t.Fatalf("%d: %+v", s, r.Requests())
	}
	if len(r.Violations()) != 0 {
		t.Fatalf("%q", r.Violations())
	}
	if s := send(t, r, "a", `[{"n":2}]`); s != 422 || len(r.Violations()) != 1 {
		t.Fatalf("%d: %q", s, r.Violations())
	}
}

func TestRows(t *testing.T) {
	r := start(t, receiver.Options{})
	send(t, r, "a", `{"jobId":"x","rows":[{"n":1.50},{"n":9007199254740993}]}`)
	send(t, r, "b", "{\"n\":3}\n{\"n\":4}\n", "Content-Type", "application/x-ndjson")
	send(t, r, "c", `{"rows":{"q1":[{"n":5}],"q2":[{"n":6}]}}`)
	send(t, r, "d", `{"done":true}`)
	rows, err := r.Rows()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		got = append(got, row["n"].(interface{ String() string }).String())
	}
	if strings.Join(got, " ") != "1.50 9007199254740993 3 4 5 6" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{`[1]`, `{"rows":[]}{}`, `"x"`, `{`} {
		if _, err := (receiver.Request{Body: []byte(bad)}).Rows(); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if _, err := (receiver.Request{Body: []byte("{}\n{\n"), Header: http.Header{"Content-Type": {"application/x-ndjson"}}}).Rows(); err == nil {
		t.Error("half a line was taken")
	}
}

func zip(edit func(*gzip.Writer), parts ...string) string {
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		edit(z)
		_, _ = io.WriteString(z, p)
		_ = z.Close()
	}
	return b.String()
}

// TestGzip: one member, without a name and a time.
func TestGzip(t *testing.T) {
	r := start(t, receiver.Options{})
	plain := func(*gzip.Writer) {}
	if s := send(t, r, "a", zip(plain, `[{"n":1}]`), "Content-Encoding", "gzip"); s != 200 || string(r.Stored()[0].Body) != `[{"n":1}]` || len(r.Violations()) != 0 {
		t.Fatalf("%d: %q", s, r.Violations())
	}
	named := func(z *gzip.Writer) { z.Name = "x" }
	dated := func(z *gzip.Writer) { z.ModTime = time.Unix(1e9, 0) }
	for i, body := range []string{zip(plain, "a", "b"), zip(named, "a"), zip(dated, "a"), "no gzip", zip(plain, "aaaa")[:20]} {
		if s := send(t, r, "bad", body, "Content-Encoding", "gzip"); s != 400 || len(r.Violations()) != i+1 {
			t.Errorf("%d: %d: %q", i, s, r.Violations())
		}
	}
	if s := send(t, r, "br", "x", "Content-Encoding", "br"); s != 400 {
		t.Errorf("%d", s)
	}
}

func TestUnsigned(t *testing.T) {
	r := start(t, receiver.Options{Secrets: []string{"raw:a secret in words, as it is"}})
	if s := send(t, r, "a", "[]"); s != 401 || len(r.Violations()) != 1 || len(r.Stored()) != 0 {
		t.Errorf("%d: %q", s, r.Violations())
	}
	if _, err := receiver.New(receiver.Options{Secrets: []string{"!"}}); err == nil {
		t.Error("a bad secret was taken")
	}
}

func TestNoLength(t *testing.T) {
	r := start(t, receiver.Options{})
	req, _ := http.NewRequestWithContext(t.Context(), "POST", r.URL, io.MultiReader(strings.NewReader("[]")))
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 411 || len(r.Violations()) != 1 {
		t.Errorf("%d: %q", response.StatusCode, r.Violations())
	}
}

// TestRestart keeps address and state.
func TestRestart(t *testing.T) {
	r := start(t, receiver.Options{})
	url := r.URL
	send(t, r, "a", "[]")
	r.Stop()
	r.Stop()
	if s := send(t, r, "b", "[]"); s != 0 {
		t.Fatalf("a stopped receiver says %d", s)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if send(t, r, "a", "[]"); r.URL != url || len(r.Stored()) != 1 || !r.Requests()[1].Duplicate {
		t.Errorf("%s: %+v", r.URL, r.Requests())
	}
}

// TestRandom: the same seed fails the same requests, in the shares asked for.
func TestRandom(t *testing.T) {
	run := func(seed uint64) (statuses []int, counts map[int]int) {
		r := start(t, receiver.Options{Seed: seed, Percent: receiver.Percent{Fail: 30, Drop: 10, Throttle: 10}})
		counts = map[int]int{}
		for range 200 {
			s := send(t, r, "a", "[]")
			statuses = append(statuses, s)
			if s >= 500 {
				s = 500
			}
			counts[s]++
		}
		return statuses, counts
	}
	one, counts := run(7)
	two, _ := run(7)
	for i := range one {
		if one[i] != two[i] {
			t.Fatalf("request %d: %d and %d", i, one[i], two[i])
		}
	}
	if counts[500] < 40 || counts[500] > 80 || counts[0] < 8 || counts[429] < 8 || counts[200] < 70 {
		t.Errorf("%v", counts)
	}
}

// TestHangEnds when the sender gives up, and when the receiver stops.
func TestHangEnds(t *testing.T) {
	r := start(t, receiver.Options{Percent: receiver.Percent{Hang: 100}})
	step := receiver.StoreAndHang()
	step.Reached = make(chan struct{})
	r.Script(step)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "POST", r.URL, strings.NewReader("[]"))
		req.Header.Set("Idempotency-Key", "a")
		_, err := http.DefaultClient.Do(req)
		done <- err
	}()
	<-step.Reached
	cancel()
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
	if len(r.Stored()) != 1 {
		t.Error("nothing was stored")
	}
}
