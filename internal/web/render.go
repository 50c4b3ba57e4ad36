package web

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// parse makes the pages, by name, each with what all share: base.html, and parts.html, whose pieces streams send, too.
func parse(words Words) map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(functions(words)).ParseFS(templateFiles, "templates/base.html", "templates/parts.html"))
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err)
	}
	all := map[string]*template.Template{}
	for _, name := range names {
		t := template.Must(template.Must(shared.Clone()).ParseFS(templateFiles, name))
		all[strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")] = t
	}
	return all
}

// page is what a template gets.
type page struct {
	Title string
	Tab   string // which of the tabs it is below
	Topic string // what its stream is of; "" has none
	Mark  string // from where the stream goes on
	Data  any

	Root  string // the page's root, seen from this page: links are relative, so that a proxy may have it below a path
	CSRF  string
	In    bool // the header with the tabs is there
	Leave bool // there is something to log out of
	About About
	Said  string // what was done a moment ago
}

// root is the way from a request's page to the root: "../" for each folder, and never "".
func root(r *http.Request) string {
	return "./" + strings.Repeat("../", max(strings.Count(r.URL.EscapedPath(), "/")-1, 0))
}

// render writes a page. It is whole or not there: a template that fails is an error page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	c := callerOf(r)
	p.Root, p.CSRF, p.In = root(r), s.csrf(c), c.In
	p.Said = s.said.take(r.URL.Query().Get("said"))
	p.Leave = c.In && s.o.Token != "" && !c.Bearer
	if v, ok := p.Data.(loginView); ok {
		v.Token = s.o.Token != ""
		p.Data = v
	}
	if b := s.backend.Load(); b != nil && c.In {
		p.About = (*b).About()
	}
	var text bytes.Buffer
	if err := s.templates[name].ExecuteTemplate(&text, "page", p); err != nil {
		s.o.Log.Error("a page cannot be made: this is a mistake in fanmill", "page", name, "error", err)
		http.Error(w, "the page cannot be made; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // whoever asked is gone
}

// errorView is what went wrong, for people.
type errorView struct {
	Status int
	Text   string
}

// fail answers with an error: as a page, or as JSON to programs.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, ErrNone) {
		status = http.StatusNotFound
	}
	if errors.Is(err, ErrRefused) {
		status = http.StatusConflict
	}
	var no *refused
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &no):
		status = no.status
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
	}
	if strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/events" {
		answer(w, status, map[string]any{"error": err.Error(), "status": status})
		return
	}
	s.render(w, r, status, "error", page{Title: http.StatusText(status), Data: errorView{status, err.Error()}})
}

// answer writes JSON.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // whoever asked is gone
}

// goTo redirects to an address below the page's root.
func (s *Server) goTo(w http.ResponseWriter, r *http.Request, to string) {
	w.Header().Set("Location", root(r)+to) // http.Redirect would make it absolute, which a proxy's prefix is not part of
	w.WriteHeader(http.StatusSeeOther)
}
