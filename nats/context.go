package nats

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// SelectedContext stands for the context that `nats context select` has chosen.
const SelectedContext = "selected"

// The keys of a context that say nothing about where and who, or whose default fanmill keeps to.
var idleKeys = []string{"name", "description", "color_scheme", "jetstream_event_prefix"}

// The keys that would change where a connection goes or who it is, in a way that fanmill does not have.
var refusedKeys = map[string]string{
	"nsc":                    "write the credentials to a file (nsc generate creds) and name that under creds",
	"jetstream_api_prefix":   "connect to the account that has JetStream itself",
	"windows_cert_store":     "export the certificate and its key to files and name those under cert and key",
	"windows_cert_match_by":  "name files under cert and key",
	"windows_cert_match":     "name files under cert and key",
	"windows_ca_certs_match": "name a file under ca",
}

// contextsDir is where the nats CLI keeps its contexts, on every system.
func contextsDir() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "nats"), nil
}

// selectedContext is the name of the selected context, "" if there is none, and the file that says so.
func selectedContext() (name, file string, err error) {
	dir, err := contextsDir()
	if err != nil {
		return "", "", err
	}
	file = filepath.Join(dir, "context.txt")
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", file, err
	}
	return strings.TrimSpace(string(text)), file, nil
}

// contextFile finds the file of a context by its name or path. called is what the nats CLI calls it.
func contextFile(name string) (called, file string, err error) {
	if strings.HasSuffix(name, ".json") || strings.ContainsAny(name, `/\`) {
		return name, name, nil
	}
	dir, err := contextsDir()
	if err != nil {
		return "", "", fmt.Errorf("find the contexts of the nats CLI: %w", err)
	}
	at := func(name string) string { return filepath.Join(dir, "context", name+".json") }
	if _, err := os.Stat(at(name)); err == nil {
		return name, at(name), nil
	}
	if name == SelectedContext {
		chosen, file, err := selectedContext()
		switch {
		case err != nil:
			return "", "", fmt.Errorf("read %s: %w", file, withoutPath(err))
		case chosen == "" || strings.ContainsAny(chosen, `/\`):
			return "", "", fmt.Errorf("no context is selected in %s; select one (nats context select NAME), or name one", file)
		}
		return chosen, at(chosen), nil
	}
	files, _ := filepath.Glob(at("*"))
	var known []string
	for _, f := range files {
		known = append(known, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	there := "there are none"
	if len(known) > 0 {
		there = "there are " + strings.Join(known, ", ")
	}
	return "", "", fmt.Errorf("the nats CLI has no context %q in %s; %s", name, filepath.Dir(at(name)), there)
}

// readContext reads a context of the nats CLI. A setting that fanmill does not know is a warning.
func readContext(from Given) (a Access, warnings []string, err error) {
	called, file, err := contextFile(from.Value)
	if err != nil {
		return Access{}, nil, fmt.Errorf("%s: %w", from.By, err)
	}
	name := "context " + called
	fail := func(format string, args ...any) (Access, []string, error) {
		return Access{}, nil, fmt.Errorf("%s %s: %w", from.By, from.Value, fmt.Errorf(format, args...))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fail("%s: %w", file, withoutPath(err))
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return fail("%s is not the JSON of a context of the nats CLI", file) // the parser's message might quote a secret
	}
	a.Context = Given{Value: called, By: from.By}
	fields := map[string]*Given{"url": &a.URL, "user": &a.User, "password": &a.Password, "token": &a.Token, "creds": &a.Creds, "nkey": &a.NKey,
		"user_jwt": &a.JWT, "user_seed": &a.Seed, "ca": &a.CA, "cert": &a.Cert, "key": &a.Key, "inbox_prefix": &a.InboxPrefix,
		"jetstream_domain": &a.Domain, "socks_proxy": &a.Socks5}
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for key := range keys {
			if !yield(key) {
				return
			}
		}
	}) {
		raw := keys[key]
		if slices.Contains(idleKeys, key) || slices.Contains([]string{`""`, "null", "false", "[]"}, string(raw)) {
			continue
		}
		if instead, refused := refusedKeys[key]; refused {
			return fail("fanmill cannot do what its %s says: %s", key, instead)
		}
		if key == "tls_first" {
			if json.Unmarshal(raw, &a.TLSFirst) != nil {
				return fail("%s is neither true nor false", key)
			}
			continue
		}
		field, known := fields[key]
		if !known {
			warnings = append(warnings, fmt.Sprintf("%s: fanmill does not know its setting %s, which does not count", name, key))
			continue
		}
		if json.Unmarshal(raw, &field.Value) != nil {
			return fail("%s is not a text", key)
		}
		field.By, field.inContext = key+" of "+name, true
		if field.Value, err = resolved(key, field.Value); err != nil {
			return fail("%s: %w", key, err)
		}
	}
	if a.URL.Value == "" {
		a.URL = Given{Value: nats.DefaultURL, By: name, inContext: true}
	}
	return a, warnings, nil
}

// The references that values of a context may be.
var schemes = []string{"file://", "env://", "data:", "op://", "nsc://"}

// resolved is a value as it is meant: a path with ~ and variables in place, a secret that stands elsewhere.
func resolved(key, value string) (string, error) {
	scheme := ""
	for _, s := range schemes {
		if len(value) >= len(s) && strings.EqualFold(value[:len(s)], s) {
			scheme, value = s, value[len(s):]
		}
	}
	switch key {
	case "creds", "nkey", "ca", "cert", "key":
		if scheme != "" && scheme != "file://" {
			return "", fmt.Errorf("fanmill follows no %s references here; name a file", scheme)
		}
		return homePath(value), nil
	case "password", "token", "user_jwt", "user_seed":
		switch scheme {
		case "":
			return value, nil
		case "file://":
			text, err := os.ReadFile(homePath(value))
			if err != nil {
				return "", fmt.Errorf("%s: %w", homePath(value), withoutPath(err))
			}
			return strings.TrimRight(string(text), "\r\n"), nil
		case "env://":
			if v := os.Getenv(value); v != "" {
				return v, nil
			}
			return "", fmt.Errorf("the variable %s is not set", value)
		}
		return "", fmt.Errorf("fanmill follows no %s references; use file:// or env://", scheme)
	}
	return scheme + value, nil
}

// homePath puts the user's folder for a leading ~, and variables in place, as the nats CLI does.
func homePath(path string) string {
	path = os.ExpandEnv(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || os.IsPathSeparator(rest[0]) || rest[0] == '/') {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}
