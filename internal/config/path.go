package config

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"
)

// Values are what the tokens of a path stand for.
type Values struct {
	JobID   string
	JobName string
	RunID   string
	Date    time.Time // the run's start, in the job's time zone
}

var (
	pathTokens  = []string{"jobName", "jobId", "runId", "date"}
	laterTokens = []string{"connection", "query"}
)

func (v Values) token(name string) (string, bool) {
	switch name {
	case "jobName":
		return v.JobName, true
	case "jobId":
		return v.JobID, true
	case "runId":
		return v.RunID, true
	case "date":
		return v.Date.Format(time.DateOnly), true
	}
	return "", false
}

// Resolve replaces the tokens {jobName}, {jobId}, {runId} and {date} (2006-01-02) of a path; {{ and }} stand for the
// characters themselves. What a token brings in is made safe for a file name on every system, Windows included, so that
// a job gives the same names everywhere: reserved characters become _, it never adds a folder, and no part of the
// path becomes a device (CON, NUL, ...) or ends in a dot or a space by it. A path with a drive may use either
// slash: D:\Reports is D:/Reports. Unknown tokens are all named in the error.
func Resolve(path string, v Values) (string, error) { return resolve(path, v, runtime.GOOS) }

func resolve(path string, v Values, goos string) (string, error) {
	if i := strings.IndexFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return "", fmt.Errorf("the path has the character %q; a backslash in a quoted text begins an escape, so write / or \\\\", path[i])
	}
	if drive(path) || goos == "windows" {
		path = strings.ReplaceAll(path, `\`, "/")
	}
	var bad []error
	parts := strings.Split(path, "/")
	for i, part := range parts {
		out, token, err := replaceTokens(part, v)
		if err != nil {
			bad = append(bad, split(err)...)
			continue
		}
		if token {
			out = safePart(out)
		} else if goos == "windows" {
			if err := windowsPart(out, i == 0 && drive(path)); err != nil {
				bad = append(bad, err)
			}
		}
		parts[i] = out
	}
	if len(bad) > 0 {
		return "", errors.Join(bad...)
	}
	return strings.Join(parts, "/"), nil
}

// drive reports whether path begins with a Windows drive.
func drive(path string) bool {
	return len(path) >= 2 && path[1] == ':' && (path[0]|0x20) >= 'a' && (path[0]|0x20) <= 'z' &&
		(len(path) == 2 || path[2] == '/' || path[2] == '\\')
}

func replaceTokens(s string, v Values) (out string, tokens bool, err error) {
	var b strings.Builder
	var bad []error
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		if s = s[i:]; strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "}}") {
			b.WriteByte(s[0])
			s = s[2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if end <= 0 {
			bad = append(bad, fmt.Errorf("the path has a single %c; write %c%c for the character itself", s[0], s[0], s[0]))
			break
		}
		name := s[1:end]
		s = s[end+1:]
		value, ok := v.token(name)
		if !ok {
			bad = append(bad, tokenError(name))
		}
		b.WriteString(safeValue(value))
		tokens = true
	}
	return b.String(), tokens, errors.Join(bad...)
}

func tokenError(name string) error {
	for _, t := range laterTokens {
		if name == t {
			return fmt.Errorf("{%s} is not available yet; use {jobName}, {jobId}, {runId} or {date}", name)
		}
	}
	if like := closest(name, append(append([]string{}, pathTokens...), laterTokens...)); like != "" {
		return fmt.Errorf("{%s} is not a token fanmill knows; did you mean {%s}?", name, like)
	}
	return fmt.Errorf("{%s} is not a token fanmill knows; it knows {jobName}, {jobId}, {runId} and {date}", name)
}

// reservedRunes may not be in a file name on Windows [Naming Files, Paths, and Namespaces].
const reservedRunes = `<>:"/\|?*`

// safeValue makes one value fit for the inside of a file name. Letters of every script stay.
func safeValue(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError || strings.ContainsRune(reservedRunes, r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), "_"))
}

// safePart makes a whole part of a path fit that tokens helped to write: "Sales Inc." is a folder no Windows opens, and
// CON.xlsx a device.
func safePart(s string) string {
	if s = strings.TrimRight(s, ". "); s == "" {
		return "_"
	}
	if stem, ext, _ := strings.Cut(s, "."); device(stem) {
		if ext != "" {
			return strings.TrimRight(stem, " ") + "_." + ext
		}
		return s + "_"
	}
	return s
}

// device reports whether Windows takes a file's name, without its extension, for a device.
func device(stem string) bool {
	switch s := strings.ToUpper(strings.TrimRight(stem, " ")); s {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	default:
		if rest, ok := strings.CutPrefix(s, "COM"); ok {
			return port(rest)
		}
		rest, ok := strings.CutPrefix(s, "LPT")
		return ok && port(rest)
	}
}

func port(s string) bool {
	return len(s) == 1 && s[0] >= '0' && s[0] <= '9' || s == "¹" || s == "²" || s == "³"
}

// windowsPart reports what Windows refuses in a part of a path that the user wrote.
func windowsPart(s string, isDrive bool) error {
	if isDrive || s == "" || s == "." || s == ".." {
		return nil
	}
	if i := strings.IndexAny(s, reservedRunes); i >= 0 {
		return fmt.Errorf("the file name %q has a %c, which Windows does not allow; remove it", s, s[i])
	}
	if stem, _, _ := strings.Cut(s, "."); device(stem) {
		return fmt.Errorf("%q is a device on Windows, not a file; choose another name", s)
	}
	if strings.TrimRight(s, ". ") != s {
		return fmt.Errorf("the name %q ends in a dot or a space, which Windows drops; remove it", s)
	}
	return nil
}
