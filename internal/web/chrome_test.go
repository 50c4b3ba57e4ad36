package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if closeChrome != nil {
		closeChrome()
	}
	os.Exit(code)
}

var closeChrome func()

// chrome is one browser for all tests; each has a tab of its own. "" and a reason where there is none.
var chrome = sync.OnceValues(func() (context.Context, string) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, "chromium is not installed (Debian: apt install chromium)"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(ctx)
	if err := chromedp.Do(ctx); err != nil {
		end()
		stop()
		return nil, "chromium does not start: " + err.Error()
	}
	closeChrome = func() { end(); stop() }
	return ctx, ""
})

// tab is a page in a real browser.
type tab struct {
	t   *testing.T
	s   *Server
	url string
	ctx context.Context
	// ended has a token for each stream of events that has ended.
	ended <-chan struct{}
}

// tabPatience bounds a test's wait for the browser.
const tabPatience = 30 * time.Second

// openTab opens a tab on a server that shows f, and asks for a token if there is one.
func openTab(t *testing.T, f *fake, token ...string) *tab {
	t.Helper()
	root, why := chrome()
	if why != "" {
		if os.Getenv("FANMILL_REQUIRE_SERVICES") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	s := New(Options{Words: words, Token: strings.Join(token, "")})
	s.hub.soonest = time.Millisecond
	s.Attach(f)
	ended := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		if r.Header.Get("Accept") == "text/event-stream" {
			ended <- struct{}{}
		}
	}))
	ctx, end := chromedp.NewContext(root)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(ctx, tabPatience)
	t.Cleanup(func() {
		stop()
		end()
		s.end()
		server.CloseClientConnections()
		server.Close()
		s.Attach(nil)
		s.work.Wait()
		if n := s.Violations(); n > 0 {
			t.Errorf("the browser reports %d violations of the content policy", n)
		}
	})
	return &tab{t, s, server.URL + "/", ctx, ended}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatalf("%v; the page:\n%s", err, b.text("body"))
	}
}

func (b *tab) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// says waits until an element has a text, over however many pages.
func (b *tab) says(selector, want string) {
	b.t.Helper()
	for b.ctx.Err() == nil {
		// While another page is being loaded there is none to ask.
		if said, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](whenSaid(inner(selector), want), chromedp.EvalAwaitPromise)); err == nil && said {
			return
		}
	}
	b.t.Fatalf("%s does not say %q; it says:\n%s\nthe page:\n%s", selector, want, b.text(selector), b.text("body"))
}

// whenSaid is a promise of true, kept when a text in the document has a part. The browser tells of each change.
func whenSaid(text, part string) string {
	return fmt.Sprintf(`new Promise(done => {
		const look = () => { if ((%s).includes(%q)) { watch.disconnect(); done(true) } };
		const watch = new MutationObserver(look);
		watch.observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
		look();
	})`, text, part)
}

// click waits for an element, over however many pages, and clicks on what has its place by then: a page that goes on by
// itself may exchange it at any moment.
func (b *tab) click(selector string) {
	b.t.Helper()
	for b.ctx.Err() == nil {
		if clicked, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](clickWhenThere(selector), chromedp.EvalAwaitPromise)); err == nil && clicked {
			return
		}
	}
	b.t.Fatalf("there is no %s; the page:\n%s", selector, b.text("body"))
}

// clickWhenThere is a promise of true, kept before the click, which may lead to another page.
func clickWhenThere(selector string) string {
	return fmt.Sprintf(`new Promise(done => {
		const look = () => {
			if (!document.querySelector(%[1]s)) return;
			watch.disconnect();
			setTimeout(() => document.querySelector(%[1]s).click());
			done(true);
		};
		const watch = new MutationObserver(look);
		watch.observe(document, {subtree: true, childList: true, attributes: true});
		look();
	})`, quoted(selector))
}

// inner is what is read in an element.
func inner(selector string) string {
	return `document.querySelector(` + quoted(selector) + `)?.innerText ?? ""`
}

// text is what is read in an element; "" if that cannot be told.
func (b *tab) text(selector string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 5*time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](inner(selector)))
	return text
}

// number is what an expression is.
func (b *tab) number(expression string) float64 {
	b.t.Helper()
	n, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func quoted(s string) string {
	return "`" + strings.NewReplacer("`", "\\`", "\\", "\\\\", "$", "\\$").Replace(s) + "`"
}

// read is what a screen reader is told of the page, as role and name.
func (b *tab) read() (out []string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		tree, err := cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		for _, n := range tree.Nodes {
			if n.Ignored || n.Role == nil {
				continue
			}
			name := ""
			if n.Name != nil {
				name = strings.Trim(string(n.Name.Value), `"`)
			}
			out = append(out, strings.Trim(string(n.Role.Value), `"`)+" "+name)
		}
		return nil
	}))
	return out
}
