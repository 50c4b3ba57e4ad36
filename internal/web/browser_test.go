package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A run is seen from its start to its end without a click: states, rows, rates, errors in full, files, the bar.
func TestRunIsSeenFromStartToEnd(t *testing.T) {
	f := newFake()
	b := openTab(t, f)
	b.open("")
	b.says("main", "No runs yet")
	b.says("#live", "live")
	f.mu.Lock()
	f.runs = []Run{{RunLine: RunLine{Run: "r1", JobID: "sales.daily", State: "queued", Asked: time.Now()}}}
	f.mu.Unlock()
	f.change("r1", func(*Run) {})
	b.says("#runs", "r1")
	b.open("runs/r1")
	b.says("#head", "queued")
	b.says("#live", "live")
	f.mu.Lock()
	f.log = "a line of the log\n"
	f.mu.Unlock()
	f.change("r1", func(r *Run) { *r = someRun("r1", 4) })
	b.says("#head", "running")
	b.says("#connections", "Branch_003")
	b.says("#destinations", "CSV")
	b.says("#log", "a line of the log")
	f.change("r1", func(r *Run) {
		c := &r.Connections[0]
		c.State, c.Rows, c.Rate, c.Since, c.Attempts = "running", 12000, 3500, time.Now(), 1
	})
	b.says("#c-conn_0", "running")
	b.says("#c-conn_0", "3500/s")
	f.change("r1", func(r *Run) {
		r.Connections[0].State, r.Connections[0].Rows, r.Connections[0].Rate, r.Connections[0].Since = "done", 20000, 0, time.Time{}
		r.Connections[1].State, r.Connections[1].Attempts = "failed", 3
		r.Connections[1].Missing = []Missing{{State: "failed", Error: "login failed for user \"app\":\nthe whole error,\nto its last line"}}
		r.Done, r.Failed = 1, 1
	})
	b.says("#c-conn_0", "20000")
	b.says("#c-conn_1", "to its last line")
	b.says("#counts", "1 ✕ failed")
	f.change("r1", func(r *Run) {
		r.State, r.Ended, r.Done = "partial", time.Now(), 3
		r.Connections[2].State, r.Connections[3].State = "done", "done"
		r.Destinations[0].State, r.Destinations[0].Connections = "finished", 3
		r.Destinations[0].Files = []File{{Path: "D:/Reports/sales.csv", Name: "sales.csv", Bytes: 123, SHA256: strings.Repeat("ab", 32)}}
	})
	b.says("#head", "partial")
	b.says("#d-csv", "sales.csv")
	if href, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("#d-csv a[download]").href`)); err != nil || href != b.url+"runs/r1/files/csv/0" {
		t.Errorf("the file is at %q, %v", href, err)
	}
}

// A tab that is hidden has no stream, and goes on from what it has when it is shown; a server that was away is found
// again.
func TestStreamIsClosedWhileHidden(t *testing.T) {
	f := newFake()
	f.runs = []Run{someRun("r1", 2)}
	b := openTab(t, f)
	b.open("runs/r1")
	b.says("#live", "live")
	hide := func(hidden bool) {
		b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`Object.defineProperty(document, "hidden", {value: %v, configurable: true}); document.dispatchEvent(new Event("visibilitychange"))`, hidden)))
	}
	topic := b.s.hub.of("run/r1", nil)
	watchers := func() int {
		topic.mu.Lock()
		defer topic.mu.Unlock()
		return topic.watchers
	}
	hide(true)
	<-b.ended
	if n := watchers(); n != 0 {
		t.Errorf("a hidden tab has %d streams", n)
	}
	f.change("r1", func(r *Run) { r.Connections[0].State = "done" })
	hide(false)
	b.says("#c-conn_0", "done")
	if watchers() != 1 {
		t.Errorf("one tab has %d streams", watchers())
	}
}

// What people call things stays text, in the page and in what the stream brings.
func TestHostileNamesInABrowser(t *testing.T) {
	f := full()
	b := openTab(t, f)
	for _, path := range everyPage {
		b.open(strings.TrimPrefix(path, "/"))
		if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || title == "owned" {
			t.Errorf("%s: the title is %q, %v", path, title, err)
		}
	}
	b.open("runs/r2")
	b.says("#live", "live")
	f.change("r2", func(r *Run) {
		r.Connections[0].Name, r.Connections[0].State = hostile, "failed"
		r.Connections[0].Missing = []Missing{{State: "failed", Error: hostile}}
	})
	b.says("#c-conn_0", "<img src=x onerror")
	if n := b.number(`document.images.length + document.querySelectorAll("main script").length`); n != 0 {
		t.Errorf("the data has become %v elements", n)
	}
	if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || title == "owned" {
		t.Errorf("the title is %q, %v", title, err)
	}
}

// At a phone's width nothing has to be moved sideways, and at a wide screen's neither.
func TestWidths(t *testing.T) {
	f := full()
	long := strings.Repeat("a-very-long-name-without-a-place-to-break", 4)
	f.runs[1].Connections[0].Name, f.runs[1].Destinations[0].Where = long, "/srv/"+long+".csv"
	b := openTab(t, f)
	for _, width := range []int64{360, 800, 1600} {
		b.do(chromedp.EmulateViewport(width, 800))
		for _, path := range everyPage {
			b.open(strings.TrimPrefix(path, "/"))
			if over := b.number(`document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s is %v pixels too wide at %d", path, over, width)
			}
		}
		for _, path := range []string{"?job=sales.daily", "runs/r2"} { // where states are real ones
			b.open(path)
			if tall := b.number(`Math.max(0, ...[...document.querySelectorAll(".state")].map((e) => e.offsetHeight))`); tall > 30 {
				t.Errorf("/%s: a state is broken over several lines at %d", path, width)
			}
		}
	}
}

// What a screen reader is told: landmarks, headings, tables with names, states as words, charts as sentences.
func TestScreenReader(t *testing.T) {
	f := newFake()
	r := someRun("r1", 3)
	r.Connections[0].State = "failed"
	r.Resumable = true
	f.runs = []Run{r}
	f.log = "a line\n"
	b := openTab(t, f)
	b.open("runs/r1")
	told := b.read()
	for _, want := range []string{"banner ", "navigation Pages", "main ", "contentinfo ", "heading Run r1", "heading Destinations", "heading Connections", "table Destinations", "table Connections",
		"columnheader Attempts", "image Memory: ", "image 2 pending, 1 failed", "searchbox Find", "region The end of the log", "link To the content", "status "} {
		if !slices.ContainsFunc(told, func(s string) bool {
			return strings.HasPrefix(s, want) || want == "image 2 pending, 1 failed" && strings.HasPrefix(s, "image 1 failed, 2 pending")
		}) {
			t.Errorf("nothing begins with %q in:\n%s", want, strings.Join(told, "\n"))
		}
	}
	for _, path := range []string{"", "jobs", "checkpoints", "dead", "runs/r1"} {
		b.open(path)
		if n := b.number(`[...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter((e) => !e.labels?.length && !e.ariaLabel).length`); n != 0 {
			t.Errorf("/%s has %v fields without a label", path, n)
		}
		if n := b.number(`[...document.querySelectorAll("button, a")].filter((e) => !e.textContent.trim() && !e.ariaLabel).length`); n != 0 {
			t.Errorf("/%s has %v links or buttons without a name", path, n)
		}
		if n := b.number(`document.querySelectorAll("h1").length`); n != 1 {
			t.Errorf("/%s has %v first headings", path, n)
		}
	}
}

// Text stands out enough from what is behind it, in both schemes [WCAG 2.2, 1.4.3].
func TestContrast(t *testing.T) {
	f := full()
	f.runs[1].Connections[0].State, f.runs[1].Connections[1].State = "failed", "done"
	b := openTab(t, f)
	const worst = `(() => {
		const lum = (c) => { const [r, g, b] = c.match(/[\d.]+/g).map(Number).map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
		const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$|transparent/.test(c)) return c; } return "rgb(255, 255, 255)"; };
		let worst = 21;
		for (const e of document.querySelectorAll("body *")) {
			if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
			const a = lum(getComputedStyle(e).color), b = lum(behind(e));
			worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
		}
		return worst;
	})()`
	for _, scheme := range []string{"light", "dark"} {
		b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			return err
		}))
		for _, path := range everyPage {
			b.open(strings.TrimPrefix(path, "/"))
			if got := b.number(worst); got < 4.5 {
				t.Errorf("%s, %s: a contrast of %.2f", path, scheme, got)
			}
		}
	}
}

// Everything can be reached by Tab, in an order, and what has the focus is seen.
func TestKeyboard(t *testing.T) {
	f := newFake()
	f.runs = []Run{someRun("r1", 3)}
	b := openTab(t, f)
	b.open("runs/r1")
	b.do(chromedp.KeyEvent("\t"))
	if got := b.text("a:focus"); got != "To the content" {
		t.Errorf("the first stop is %q", got)
	}
	for range 3 {
		b.do(chromedp.KeyEvent("\t"))
	}
	if got := b.text("a:focus"); got != "Jobs" {
		t.Errorf("the fourth stop is %q", got)
	}
	if n := b.number(`getComputedStyle(document.activeElement).outlineStyle === "none" ? 0 : 1`); n != 1 {
		t.Error("what has the focus is not seen")
	}
	b.do(chromedp.Focus("#find"), chromedp.KeyEvent("002"))
	b.says("#found", "1 of 3")
}

// A run is resumed by a click, and its page shows it going on.
func TestResumeByClick(t *testing.T) {
	f, _ := asking(t)
	b := openTab(t, f)
	b.open("runs/r1")
	b.click("#acts button.main")
	b.says(".said", "resume is done")
	b.says("#head", "running")
	if n := b.number(`document.querySelectorAll("#acts button.main").length`); n != 0 {
		t.Error("a run that goes on can be resumed")
	}
}

// A checkpoint is dropped after the question was answered, and not when it has changed meanwhile.
func TestDropRefusedAndDone(t *testing.T) {
	f, _ := asking(t)
	b := openTab(t, f)
	b.open("checkpoints")
	b.click(`a[href$="/drop"]`)
	b.says("h1", "Drop the checkpoint of Sales?")
	f.points[0].Revision = "running.1.2" // it was resumed while the question stood there
	b.click("button.danger")
	b.says(".problem", "it has changed")
	f.points[0].Revision = "interrupted.0.1"
	b.open("checkpoints")
	b.click(`a[href$="/drop"]`)
	b.says("h1", "Drop the checkpoint")
	b.click(`.ask a.button`)
	b.says("h1", "Checkpoints")
	if len(f.asked) > 0 {
		t.Errorf("it was done: %q", f.asked)
	}
	b.click(`a[href$="/drop"]`)
	b.says("h1", "Drop the checkpoint")
	b.click("button.danger")
	b.says(".said", "drop is done")
	b.says("main", "No checkpoints")
}

// fanmill ui opens the page with a code that no address keeps.
func TestCodeInABrowser(t *testing.T) {
	b := openTab(t, newFake(), goodToken)
	b.open("")
	b.says("main", "Token")
	b.open("login#" + b.s.Code())
	b.says("h1", "Runs")
	if at, err := chromedp.Run(b.ctx, chromedp.Location()); err != nil || at != b.url {
		t.Errorf("the page is at %s, %v", at, err)
	}
}
