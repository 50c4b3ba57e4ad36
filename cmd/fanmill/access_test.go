package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every command that opens the store reaches it in the same ways.
func TestStoreCommandsTakeTheFlagsOfNATS(t *testing.T) {
	seen := 0
	for _, c := range commands(newRoot(io.Discard, io.Discard)) {
		if c.Flags().Lookup("data") == nil {
			continue
		}
		seen++
		for _, o := range (&natsFlags{}).all() {
			if f := c.Flags().Lookup(o.name); f == nil || !strings.Contains(f.Usage, o.variable) {
				t.Errorf("%s has no --%s, or does not name %s", c.CommandPath(), o.name, o.variable)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands open the store", seen)
	}
}

// A password reaches the server from a file, the environment, the .env beside a job, or the command line, where it is
// warned of; it is in nothing that fanmill says, and in none of its files. The line for the nats CLI says where it
// takes the password from.
func TestPasswordsAreNotShown(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	url := natsWith(t, `authorization { user: joe, password: "s3cret!" }`)
	w := newWorld(t, 20)
	w.args = []string{"--data", filepath.Join(w.dir, "data"), "--nats", url}
	env := filepath.Join(w.dir, ".env")
	if err := os.WriteFile(env, []byte("NATS_USER=joe\nNATS_PASSWORD='s3cret!'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := w.mustRun(exitComplete, nil)
	if want := "nats --server " + url + " --user joe stream ls (with the password of that user in NATS_PASSWORD)"; !strings.Contains(out, want) || strings.Contains(out, "list of processes") {
		t.Errorf("a run with the password in .env says, want %q:\n%s", want, out)
	}
	secret := filepath.Join(w.dir, "secret.txt")
	if err := os.WriteFile(secret, []byte("s3cret!\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_USER", "joe")
	t.Setenv("NATS_PASSWORD", "${file:"+secret+"}")
	said := out
	for _, args := range [][]string{{"runs"}, {"status", "gst"}, {"checkpoint", "ls"}} {
		code, out, problems := call(append(args, "--nats", url)...)
		if said += out + problems; code != exitComplete || problems != "" {
			t.Errorf("%v: exit code %d, %s", args, code, problems)
		}
	}
	t.Setenv("NATS_PASSWORD", "")
	t.Setenv("NATS_USER", "")
	inURL := strings.Replace(url, "nats://", "nats://joe:s3cret!@", 1)
	code, out, problems := call("runs", "--nats", inURL)
	if said += out + problems; code != exitComplete || !strings.Contains(problems, "--nats holds a password") {
		t.Errorf("a password on the command line: exit code %d, %s", code, problems)
	}
	code, out, problems = call("status", "--nats", strings.Replace(inURL, "joe", "eve", 1))
	if said += out + problems; code != exitFailed || !strings.Contains(problems, "does not let in the user in --nats") {
		t.Errorf("another user: exit code %d, %s", code, problems)
	}
	t.Setenv("NATS_URL", inURL)
	t.Setenv("NATS_TOKEN", "s3cret!")
	t.Setenv("NATS_PASSWORD", "s3cret!")
	_, out, _ = call("env")
	said += out
	if code, out, problems = call("runs"); code != exitBadJob || !strings.Contains(problems, "both say who connects") {
		t.Errorf("two ways to say who connects: exit code %d, %s", code, problems)
	}
	if said += out + problems; strings.Contains(said, "s3cret") {
		t.Errorf("the password is shown:\n%s", said)
	}
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == env || path == secret {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "s3cret") {
			t.Errorf("the password is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What cannot be is a bad command line, and nothing was opened; what would find the store again says how it was found.
func TestWaysToNATSThatLeadNowhere(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	gone := filepath.Join(t.TempDir(), "gone")
	for want, args := range map[string][]string{
		"--nats-creds is for an external NATS server":          {"--nats-creds", gone},
		"--nats-creds " + gone + ": ":                          {"--nats", "nats://127.0.0.1:1", "--nats-creds", gone},
		"--nats-ca " + gone + ": ":                             {"--nats", "nats://127.0.0.1:1", "--nats-ca", gone},
		"--nats-context: the nats CLI has no context":          {"--nats-context", "nowhere"},
		"--nats-cert gives a certificate, and its key":         {"--nats", "nats://127.0.0.1:1", "--nats-cert", gone},
		"--nats: nats://127.0.0.1: 1 is not the URL of a NATS": {"--nats", "nats://127.0.0.1: 1"},
	} {
		code, out, problems := call(slices.Concat([]string{"runs", "--data", filepath.Join(t.TempDir(), "data")}, args)...)
		if code != exitBadJob || out != "" || !strings.Contains(problems, want) {
			t.Errorf("%v: exit code %d, want %q: %s", args, code, want, problems)
		}
	}
	f := natsFlags{url: "nats://joe:s3cret@h:1", creds: "a b.creds"}
	if got := f.line(); strings.ReplaceAll(got, `"`, "") != " --nats nats://****@h:1 --nats-creds a b.creds" {
		t.Errorf("the flags again are%s", got)
	}
}
