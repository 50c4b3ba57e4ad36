package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// reference is one ${NAME} or ${file:PATH} in a text, with |url at its end or without.
type reference struct {
	name string // of a variable
	file string // path of a secret's file, if name is ""
	url  bool   // the value is escaped for its place in a URL
}

// escaped is the reference in a text that becomes part of a URL.
func (r reference) escaped() string {
	if r.name == "" {
		return "${" + filePrefix + r.file + urlFilter + "}"
	}
	return "${" + r.name + urlFilter + "}"
}

const (
	filePrefix = "file:"
	urlFilter  = "|url"
)

// UnsetError names a variable that is referred to and not set.
type UnsetError struct{ Name string }

func (e *UnsetError) Error() string {
	return fmt.Sprintf("${%s} is not set; set %s in the environment or in the .env file beside the job", e.Name, e.Name)
}

// Missing is the reference as it is written; see pipeline.Missing.
func (e *UnsetError) Missing() string { return "${" + e.Name + "}" }

// maxSecretBytes bounds a secret's file: whatever is larger is another file than was meant.
const maxSecretBytes = 64 << 10

// SecretFileError names a secret's file that cannot be used. It never holds what is in the file.
type SecretFileError struct {
	Path string // as in the reference
	Err  error
}

func (e *SecretFileError) Error() string {
	return fmt.Sprintf("${file:%s}: %s; put the value there, alone in the file, or correct the path", e.Path, e.Err)
}

func (e *SecretFileError) Unwrap() error { return e.Err }

// Missing is the reference as it is written; see pipeline.Missing.
func (e *SecretFileError) Missing() string { return "${" + filePrefix + e.Path + "}" }

// Expand replaces ${NAME} by the variable's value, ${file:PATH} by what the file holds without the line end behind
// it, and either with |url before the brace by the value escaped for a URL, such as a password with @ or /. A
// relative PATH begins in the folder dir. $$ stands for one $; any other $ stands for itself. A variable that is not
// set is an *UnsetError, a file that cannot be read a *SecretFileError; several are joined. Values are not expanded
// again.
func Expand(s string, lookup func(name string) (string, bool), dir string) (string, error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var b strings.Builder
	var bad []error
	err := scan(s, func(literal string) error {
		b.WriteString(literal)
		return nil
	}, func(r reference) error {
		v, err := r.value(lookup, dir)
		if err != nil {
			if !slices.ContainsFunc(bad, func(e error) bool { return e.Error() == err.Error() }) {
				bad = append(bad, err)
			}
			return nil
		}
		if r.url {
			v = escapeURL(v)
		}
		b.WriteString(v)
		return nil
	})
	if err != nil {
		return "", err
	}
	if len(bad) > 0 {
		return "", errors.Join(bad...)
	}
	return b.String(), nil
}

func (r reference) value(lookup func(string) (string, bool), dir string) (string, error) {
	if r.name == "" {
		return secretFile(r.file, dir)
	}
	v, ok := lookup(r.name)
	if !ok {
		return "", &UnsetError{r.name}
	}
	return v, nil
}

// secretFile reads a file as orchestrators and password stores lay them: the value, and perhaps a line end.
func secretFile(path, dir string) (string, error) {
	fail := func(err error) (string, error) { return "", &SecretFileError{path, err} }
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(dir, path)
	}
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(errors.New("there is no such file"))
	case err != nil:
		return fail(fmt.Errorf("cannot be read: %w", cause(err)))
	case !info.Mode().IsRegular():
		return fail(errors.New("is not a file"))
	case info.Size() > maxSecretBytes:
		return fail(fmt.Errorf("is larger than %d KB", maxSecretBytes>>10))
	}
	data, err := readSmall(full)
	if err != nil {
		return fail(fmt.Errorf("cannot be read: %w", cause(err)))
	}
	text, bad := decode(data)
	if bad != nil {
		return fail(fmt.Errorf("cannot be read: %w", bad.plain()))
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if v == "" {
		return fail(errors.New("is empty"))
	}
	return v, nil
}

// scan walks the literals (with $$ already as $) and references of a text.
func scan(s string, literal func(string) error, ref func(reference) error) error {
	for s != "" {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			return literal(s)
		}
		if i > 0 {
			if err := literal(s[:i]); err != nil {
				return err
			}
		}
		s = s[i:]
		switch s[1] {
		case '$':
			if err := literal("$"); err != nil {
				return err
			}
			s = s[2:]
		case '{':
			end := strings.IndexByte(s, '}')
			if end < 0 {
				return errors.New("${ has no closing }; write ${NAME}, or $${ for the characters themselves")
			}
			r, err := parseReference(s[2:end])
			if err != nil {
				return err
			}
			if err := ref(r); err != nil {
				return err
			}
			s = s[end+1:]
		default:
			if err := literal("$"); err != nil {
				return err
			}
			s = s[1:]
		}
	}
	return nil
}

func parseReference(s string) (reference, error) {
	if path, ok := strings.CutPrefix(s, filePrefix); ok {
		path, url := strings.CutSuffix(path, urlFilter)
		if strings.TrimSpace(path) == "" {
			return reference{}, errors.New("${file:} names no file; write ${file:/run/secrets/branch_password}")
		}
		return reference{file: path, url: url}, nil
	}
	name, filter, filtered := strings.Cut(s, "|")
	valid := name != "" && !(name[0] >= '0' && name[0] <= '9')
	for i := 0; i < len(name); i++ {
		valid = valid && nameByte(name[i])
	}
	if !valid {
		return reference{}, fmt.Errorf("${%s} is not the name of a variable; names are letters, digits and _", s)
	}
	if filtered && filter != "url" {
		return reference{}, fmt.Errorf("${%s}: %q is not a filter fanmill knows; it knows ${%s|url}", s, filter, name)
	}
	return reference{name: name, url: filtered}, nil
}

// nameByte reports whether a variable's name may have this byte.
func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}
