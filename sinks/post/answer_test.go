package post_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

func TestConflict(t *testing.T) {
	conflict := receiver.Say(409, `{"id":"there"}`)
	w := newWorld(t, nil)
	w.Script(conflict, conflict, conflict, conflict, conflict)
	for range 4 {
		w.fail(t, request("a", "{}"), pipeline.OfMoment)
	}
	if _, f := w.fail(t, request("a", "{}"), pipeline.OfRequest); !f.MayHaveArrived || !strings.Contains(f.Error(), "conflict: accept") {
		t.Errorf("%v", f)
	}
	w = newWorld(t, func(o *post.Options) { o.Conflict, o.Receipt = "accept", "$.id" })
	w.Script(conflict)
	if receipt := w.send(t, request("a", "{}")); receipt.Status != 409 || receipt.ID != "there" || len(receipt.Notes) != 1 {
		t.Errorf("%+v", receipt)
	}
	w = newWorld(t, func(o *post.Options) { o.Conflict = "fail" })
	w.Script(conflict)
	w.fail(t, request("a", "{}"), pipeline.OfRequest)
}

func TestSuccess(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.Success = "$.ok == true" })
	w.Script(receiver.Say(200, `{"ok":true}`), receiver.Say(200, `{"ok":false,"why":"closed month"}`), receiver.Say(204, ""))
	w.send(t, request("a", "{}"))
	if _, f := w.fail(t, request("b", "{}"), pipeline.OfRequest); !f.MayHaveArrived || !strings.Contains(f.Error(), "closed month") {
		t.Errorf("%v", f)
	}
	w.fail(t, request("c", "{}"), pipeline.OfRequest)
}

// TestReceiptMissing: delivered, told once.
func TestReceiptMissing(t *testing.T) {
	w := newWorld(t, func(o *post.Options) { o.Receipt = "$.id" })
	w.Script(receiver.Say(204, ""), receiver.Say(204, ""))
	if receipt := w.send(t, request("a", "{}")); receipt.ID != "" || len(receipt.Notes) != 1 {
		t.Errorf("%+v", receipt)
	}
	if receipt := w.send(t, request("b", "{}")); len(receipt.Notes) != 0 {
		t.Errorf("told again: %+v", receipt)
	}
}

func TestSkew(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		status int
		skew   time.Duration
		signed bool
		scope  pipeline.Scope
		text   string
	}{
		{401, 6 * time.Minute, true, pipeline.OfTarget, "6m0s behind the receiver's"},
		{400, 6 * time.Minute, true, pipeline.OfTarget, "6m0s behind"},
		{403, -6 * time.Minute, true, pipeline.OfTarget, "6m0s ahead of"},
		{400, time.Minute, true, pipeline.OfRequest, "400"},
		{400, 6 * time.Minute, false, pipeline.OfRequest, "400"},
		{422, 6 * time.Minute, true, pipeline.OfRequest, "422"},
	} {
		w := newWorld(t, func(o *post.Options) {
			if c.signed {
				o.SigningSecrets = []string{secretOf(7)}
			}
		})
		w.client.SetNow(func() time.Time { return now })
		w.Script(receiver.Say(c.status, "bad signature").With("Date", now.Add(c.skew).UTC().Format(http.TimeFormat)))
		// A date has whole seconds.
		_, f := w.fail(t, request("a", "{}"), c.scope)
		if text := strings.ReplaceAll(strings.ReplaceAll(f.Error(), "5m59s", "6m0s"), "6m1s", "6m0s"); !strings.Contains(text, c.text) {
			t.Errorf("%d, %s: %v", c.status, c.skew, f)
		}
	}
}

func TestAnswerBounded(t *testing.T) {
	w := newWorld(t, nil)
	w.Script(receiver.Say(400, "\x1b[31mred\x07\r\n\tnext\u202eline\xff"), receiver.Say(400, strings.Repeat("\x01", 100_000)), receiver.Say(200, strings.Repeat("é", 100_000)))
	_, f := w.fail(t, request("a", "{}"), pipeline.OfRequest)
	if got := string(f.Receipt.Answer); got != `\x1b[31mred\a\r\n\tnext\u202eline`+"\uFFFD" {
		t.Errorf("%q", got)
	}
	if strings.ContainsAny(f.Error(), "\x1b\x07\r\n\t") {
		t.Errorf("%q", f.Error())
	}
	_, f = w.fail(t, request("b", "{}"), pipeline.OfRequest)
	if len(f.Receipt.Answer) > 64<<10 || len(f.Error()) > 1000 {
		t.Errorf("%d bytes, %d in the error", len(f.Receipt.Answer), len(f.Error()))
	}
	if receipt := w.send(t, request("c", "{}")); len(receipt.Answer) != 64<<10 || len(receipt.Notes) != 1 {
		t.Errorf("%d bytes, notes %q", len(receipt.Answer), receipt.Notes)
	}
}

func TestPaths(t *testing.T) {
	answer := `{"id":"a","n":9007199254740993,"ok":true,"none":null,"data":[{"x":[1,2]},{"url":"u","url":"v"}],"deep":{"a-b":{"c_1":1.50}},"end":`
	for path, want := range map[string]string{"$.id": "a", "$.n": "9007199254740993", "$.ok": "true", "$.none": "<nil>", "$.data[1].url": "u", "$.data[0].x[1]": "2", "$.deep.a-b.c_1": "1.50"} {
		if got, found := post.Find(path, answer); !found || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", path, got, found)
		}
	}
	for _, path := range []string{"$.data", "$.deep", "$.end", "$.missing", "$.data[2]", "$.data[0].x[2]", "$[0]", "$.id.x"} {
		if got, found := post.Find(path, answer); found {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, path := range []string{"id", "$", "$..id", "$.*", "$.a[", "$.a[-1]", "$.a[x]", "$.a b", "$.", "$.a[99999999]"} {
		if got, _ := post.Find(path, answer); !strings.Contains(fmt.Sprint(got), "is not a path") {
			t.Errorf("%s was taken: %v", path, got)
		}
	}
	for condition, want := range map[string]bool{`$.ok == true`: true, `$.ok==false`: false, `$.id == "a"`: true, `$.none == null`: true, `$.deep.a-b.c_1 == 1.50`: true, `$.missing == null`: false} {
		if got, err := post.Holds(condition, answer); err != nil || got != want {
			t.Errorf("%s: %v, %v", condition, got, err)
		}
	}
	for _, condition := range []string{"$.ok", "$.ok = true", "$.ok == yes", "ok == true", "$.ok == true && $.id == 1", "$.ok == [1]", "$.ok == ", "== true"} {
		if _, err := post.Holds(condition, answer); err == nil {
			t.Errorf("%s was taken", condition)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("$.data[0].id", `{"data":[{"id":1}]}`)
	f.Fuzz(func(t *testing.T, path, answer string) {
		v, found := post.Find(path, answer)
		if _, text := v.(error); found && text {
			t.Error("an error is no value")
		}
	})
}
