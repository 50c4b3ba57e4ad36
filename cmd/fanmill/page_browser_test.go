package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A run in a real browser on the real program: it is started by a click, seen to its end, resumed by a click once the
// branch that failed is there, and its file is what was delivered.
func TestPageInABrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("FANMILL_REQUIRE_SERVICES") != "" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed (Debian: apt install chromium)")
	}
	w := newWorld(t, 50, 20)
	right := w.conns[1].dsn
	w.conns[1].dsn = filepath.ToSlash(filepath.Join(w.dir, "missing.db"))
	w.write()
	s := w.serve("--http", "127.0.0.1:0")
	page := s.page()
	ctx, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)...)
	defer stop()
	ctx, end := chromedp.NewContext(ctx)
	defer end()
	if err := chromedp.Do(ctx, chromedp.Navigate(page+"jobs")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// The page goes on by itself: what is clicked on is what has its place by then.
	click := func(selector string) {
		t.Helper()
		for ctx.Err() == nil {
			clicked, err := chromedp.Run(ctx, chromedp.Evaluate[bool](fmt.Sprintf(`new Promise(done => {
				const look = () => {
					if (!document.querySelector(%[1]q)) return;
					watch.disconnect();
					setTimeout(() => document.querySelector(%[1]q).click());
					done(true);
				};
				const watch = new MutationObserver(look);
				watch.observe(document, {subtree: true, childList: true, attributes: true});
				look();
			})`, selector), chromedp.EvalAwaitPromise))
			if err == nil && clicked {
				return
			}
		}
		t.Fatalf("there is no %s", selector)
	}
	says := func(want string) {
		t.Helper()
		for ctx.Err() == nil { // over however many pages: each takes its promise along
			said, err := chromedp.Run(ctx, chromedp.Evaluate[bool](fmt.Sprintf(`new Promise(done => {
				const look = () => { if (document.body?.innerText.includes(%q)) { watch.disconnect(); done(true) } };
				const watch = new MutationObserver(look);
				watch.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
				look();
			})`, want), chromedp.EvalAwaitPromise))
			if err == nil && said {
				return
			}
		}
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
		t.Fatalf("the page does not say %q:\n%s", want, text)
	}
	click("#jobs a")
	says("Start a run")
	click("button.main")
	says("of job gst: running")
	says("◐ partial")
	says("missing.db: there is no such file")
	w.conns[1].dsn = right
	w.write()
	job, err := os.ReadFile(w.job())
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "jobs", "gst.json"), job, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	click("#acts button.main")
	says("✓ complete")
	says("2 of 2 connections")
	w.exact()
	href, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector("#d-csv a[download]").href`))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(w.csv())
	if err != nil {
		t.Fatal(err)
	}
	if _, body := get(t, href); body != string(want) {
		t.Errorf("%s is not the file", href)
	}
}
