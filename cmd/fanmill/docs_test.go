package main

import (
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fanmill/internal/config"
)

// pages are the documents for users, by their path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	all := map[string]string{}
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(root, name)
		all[filepath.ToSlash(rel)] = string(text)
	}
	return all
}

// commands are fanmill and all that it has, but for cobra's own.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.Name() != "help" && c.Name() != "completion" {
			all = append(all, commands(c)...)
		}
	}
	return all
}

// Whatever the command line takes and the environment says stands in the pages on running fanmill; what has a page of
// its own stands there.
func TestEveryFlagIsDocumented(t *testing.T) {
	docs := pages(t)
	text := docs["docs/operations.md"] + docs["docs/serve.md"] + docs["docs/page.md"]
	for _, c := range commands(newRoot(io.Discard, io.Discard)) {
		if name := strings.TrimPrefix(c.CommandPath(), "fanmill "); !strings.Contains(docs["docs/operations.md"], c.Name()) {
			t.Errorf("docs/operations.md does not name the command %s", name)
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(text, "--"+f.Name) && f.Name != "help" {
				t.Errorf("none of docs/operations.md, docs/serve.md and docs/page.md names --%s of %s", f.Name, c.CommandPath())
			}
			if f.Usage == "" {
				t.Errorf("%s --help says nothing of --%s", c.CommandPath(), f.Name)
			}
		})
	}
	for _, v := range config.Variables(nil) {
		if !strings.Contains(docs["docs/operations.md"], "`"+v.Name) {
			t.Errorf("docs/operations.md does not name %s", v.Name)
		}
	}
}

// Every key that a job file may hold stands in the page on job files, and its tables hold no others.
func TestEveryKeyIsDocumented(t *testing.T) {
	page := pages(t)["docs/job-file.md"]
	var schema any
	if err := json.Unmarshal(config.Schema(databaseKinds(), sinkKinds(), notifyKinds()), &schema); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					keys[name] = true
				}
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(schema)
	if len(keys) < 40 {
		t.Fatalf("the schema has only %d keys: %v", len(keys), slices.Sorted(maps.Keys(keys)))
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !regexp.MustCompile("[`\"{]" + regexp.QuoteMeta(key) + "[`\":]").MatchString(page) {
			t.Errorf("docs/job-file.md does not name the key %s", key)
		}
	}
	column := -1 // of the table under way
	documented := 0
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "|") {
			column = -1
			continue
		}
		if header := slices.IndexFunc(cells, func(c string) bool { return strings.TrimSpace(c) == "key" }); header >= 0 {
			column = header
			continue
		}
		if column < 0 || column >= len(cells) {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[column], -1) {
			documented++
			if !keys[m[1][strings.LastIndexByte(m[1], '.')+1:]] { // of an object in an option: auth.token
				t.Errorf("docs/job-file.md documents the key %s, which there is none of", m[1])
			}
		}
	}
	if documented < 40 {
		t.Errorf("only %d keys were found in the tables of docs/job-file.md", documented)
	}
}

// commandLine is what a page shows of a command of fanmill's: alone in a line of code, behind a prompt or not, or in
// code within a sentence.
var commandLine = regexp.MustCompile("(?m)(?:^    (?:\\$ )?|`)fanmill ([^`\n]+)")

// Every command line that the pages, the help and the examples show is one that fanmill takes: command, flags and the
// number of arguments.
func TestEveryCommandLineShownIsTaken(t *testing.T) {
	texts := pages(t)
	root := newRoot(io.Discard, io.Discard)
	for _, c := range commands(root) {
		texts[c.CommandPath()+" --help"] = "    " + strings.ReplaceAll(c.Example, "\n  ", "\n    ")
	}
	yamls, _ := filepath.Glob(filepath.Join("..", "..", "examples", "*.yaml"))
	for _, name := range yamls {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(name)] = strings.ReplaceAll(string(text), "\n#   ", "\n    ")
	}
	seen := 0
	for where, text := range texts {
		for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(m[1], "  ") // what follows says what it does
			line, _, _ = strings.Cut(line, " > ")
			if strings.ContainsAny(line, "|") || strings.Contains(line, "...") || strings.HasPrefix(line, "COMMAND") || strings.HasPrefix(line, "go on") {
				continue
			}
			line = strings.NewReplacer("[flags]", "", "[", "", "]", "", `"`, "").Replace(line)
			args := strings.Fields(line)
			c, rest, err := newRoot(io.Discard, io.Discard).Find(args)
			if err != nil || c.Parent() == nil {
				t.Errorf("%s: fanmill %s: there is no such command (%v)", where, m[1], err)
				continue
			}
			seen++
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("%s: fanmill %s: %v", where, m[1], err)
			} else if c.Flags().NArg() > 0 {
				if err := c.Args(c, c.Flags().Args()); err != nil {
					t.Errorf("%s: fanmill %s: %v", where, m[1], err)
				}
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d command lines were found", seen)
	}
}

// Every link of the pages leads somewhere, to the heading that it names, and every file of Go that they name is there.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	root := filepath.Join("..", "..")
	docs := pages(t)
	anchors := func(page string) (all []string) {
		for _, m := range regexp.MustCompile("(?m)^#+ (.*)$").FindAllStringSubmatch(page, -1) {
			all = append(all, strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
		}
		return all
	}
	var sources []string
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".go" {
			sources = append(sources, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range docs {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			to := where
			if target != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(where), target))
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", where, m[1])
			} else if anchor != "" && !slices.Contains(anchors(docs[to]), anchor) {
				t.Errorf("%s: %s has no heading #%s", where, to, anchor)
			}
		}
		for _, m := range regexp.MustCompile("[`(][\\w/]*?(\\w+\\.go)\\b").FindAllStringSubmatch(text, -1) {
			if !slices.ContainsFunc(sources, func(path string) bool { return strings.HasSuffix(path, "/"+m[1]) }) {
				t.Errorf("%s names %s, which is not there", where, m[1])
			}
		}
	}
}

// The file with many mistakes that the page on job files shows is answered as the page says.
func TestManyMistakesAreAnsweredAsShown(t *testing.T) {
	page := pages(t)["docs/job-file.md"]
	_, rest, _ := strings.Cut(page, "`many_mistakes.yaml`:\n\n```yaml\n")
	job, rest, ok := strings.Cut(rest, "```\n")
	_, shown, ok2 := strings.Cut(rest, "    $ fanmill validate many_mistakes.yaml\n")
	shown, _, ok3 := strings.Cut(shown, "\n\n")
	if !ok || !ok2 || !ok3 {
		t.Fatal("the page has no such file, or no answer")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("many_mistakes.yaml", []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, problems := call("validate", "many_mistakes.yaml")
	problems = regexp.MustCompile(`\(\S*reports[/\\]all\.csv\)`).ReplaceAllString(problems, "(.../reports/all.csv)")
	if want := strings.ReplaceAll("\n"+shown, "\n    ", "\n")[1:] + "\n"; code != exitBadJob || out != "" || problems != want {
		t.Errorf("exit code %d, %s; it says\n%s\nthe page\n%s", code, out, problems, want)
	}
}

// A command that only holds others takes the name of one that it has not for a bad command line.
func TestUnknownCommandsAreRefused(t *testing.T) {
	root := newRoot(io.Discard, io.Discard)
	groups := 0
	for _, c := range append(commands(root), root) {
		if !c.HasSubCommands() || strings.Contains(c.Use, "[") { // runs [JOBID] takes a name
			continue
		}
		groups++
		if err := c.Args(c, []string{"lss"}); err == nil {
			t.Errorf("%s lss is taken", c.CommandPath())
		}
	}
	if groups < 4 {
		t.Errorf("only %d commands hold others", groups)
	}
}
