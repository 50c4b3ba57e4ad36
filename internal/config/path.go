package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// tokenValues are what the tokens of a path stand for.
type tokenValues struct {
	jobID          string
	jobName        string
	run            string
	date           time.Time                                    // the run's start, in the job's time zone
	connection     string                                       // of a file per connection
	query          string                                       // of a file per query
	keepConnection bool                                         // {connection} stays as it is
	partition      func(key, connection string) (string, error) // names a part key={connection}; nil if that is none
	base           string                                       // where relative paths begin; "" is the working directory
}

// The tokens that make a file for each.
const (
	connectionToken = "connection"
	queryToken      = "query"
)

var pathTokens = []string{"jobName", "jobId", "runId", "date", connectionToken, queryToken}

// token is the text that a token stands for, safe for a file name, and whether it may be cut.
func (v *tokenValues) token(name string) (piece, error) {
	switch name {
	case "jobName":
		return piece{safeValue(v.jobName), true}, nil
	case "jobId":
		return piece{safeValue(v.jobID), true}, nil
	case "runId":
		return piece{safeValue(v.run), true}, nil
	case "date":
		return piece{v.date.Format(time.DateOnly), false}, nil
	case connectionToken:
		if v.keepConnection {
			return piece{"{" + connectionToken + "}", false}, nil
		}
		if v.connection != "" {
			return piece{safeValue(v.connection), true}, nil
		}
	case queryToken:
		if v.query != "" {
			return piece{safeValue(v.query), true}, nil
		}
	default:
		return piece{}, tokenError(name)
	}
	return piece{}, fmt.Errorf("{%s} stands for nothing here", name)
}

// resolve replaces the tokens {jobName}, {jobId}, {runId}, {date} (2006-01-02), {connection} and {query} of a path;
// {{ and }} stand for the characters themselves. What a token brings in is made safe for a file name on every system,
// Windows included, so that a job gives the same names everywhere: reserved characters become _, it never adds a
// folder, and no part of the path becomes a device (CON, NUL, ...) or ends in a dot or a space by it. What is too
// long for a name is cut (fit). A path with a drive may use either slash: D:\Reports is D:/Reports. Unknown tokens
// are all named in the error.
func resolve(path string, v tokenValues, goos string) (string, error) {
	if i := strings.IndexFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return "", fmt.Errorf("the path has the character %q; a backslash in a quoted text begins an escape, so write / or \\\\", path[i])
	}
	if drive(path) || goos == "windows" {
		path = strings.ReplaceAll(path, `\`, "/")
	}
	var bad []error
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if key, is := v.partitionKey(part); is {
			var err error
			if parts[i], err = v.partition(key, v.connection); err != nil {
				bad = append(bad, err)
			}
			continue
		}
		pieces, token, err := replaceTokens(part, v)
		if err != nil {
			bad = append(bad, split(err)...)
			continue
		}
		if goos == "windows" {
			if err := windowsRunes(part, pieces, i == 0 && drive(path)); err != nil {
				bad = append(bad, err)
			}
		}
		out, err := fit(pieces, i == len(parts)-1)
		if err != nil {
			bad = append(bad, err)
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

// partitionKey is the key of a part of a path that names a folder of a dataset: branch={connection}.
func (v *tokenValues) partitionKey(part string) (key string, is bool) {
	key, is = strings.CutSuffix(part, "={"+connectionToken+"}")
	return key, is && v.partition != nil && !v.keepConnection && key != "" && !strings.ContainsAny(key, "={}")
}

// hasPartition reports whether a part of a path names a folder of a dataset.
func (v *tokenValues) hasPartition(path string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }), func(part string) bool {
		_, is := v.partitionKey(part)
		return is
	})
}

// drive reports whether path begins with a Windows drive.
func drive(path string) bool {
	return len(path) >= 2 && path[1] == ':' && (path[0]|0x20) >= 'a' && (path[0]|0x20) <= 'z' &&
		(len(path) == 2 || path[2] == '/' || path[2] == '\\')
}

func replaceTokens(s string, v tokenValues) (out []piece, tokens bool, err error) {
	var bad []error
	walkTokens(s, func(literal string) { out = append(out, piece{literal, false}) }, func(name string) {
		value, err := v.token(name)
		if err != nil {
			bad = append(bad, err)
		}
		out = append(out, value)
		tokens = true
	}, func(err error) { bad = append(bad, err) })
	return out, tokens, errors.Join(bad...)
}

// walkTokens takes a text with {tokens} apart; {{ and }} are literals.
func walkTokens(s string, literal func(string), token func(name string), bad func(error)) {
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			literal(s)
			return
		}
		literal(s[:i])
		if s = s[i:]; strings.HasPrefix(s, "{{") || strings.HasPrefix(s, "}}") {
			literal(s[:1])
			s = s[2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if end <= 0 {
			bad(fmt.Errorf("the path has a single %c; write %c%c for the character itself", s[0], s[0], s[0]))
			return
		}
		token(s[1:end])
		s = s[end+1:]
	}
}

// hasToken reports whether a path has this token.
func hasToken(path, name string) bool {
	found := false
	walkTokens(path, func(string) {}, func(n string) { found = found || n == name }, func(error) {})
	return found
}

func tokenError(name string) error {
	if like := Closest(name, pathTokens); like != "" {
		return fmt.Errorf("{%s} is not a token fanmill knows; did you mean {%s}?", name, like)
	}
	return fmt.Errorf("{%s} is not a token fanmill knows; it knows {%s}", name, strings.Join(pathTokens, "}, {"))
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

// windowsRunes reports a character that Windows refuses in what the user wrote of a part of a path; what tokens bring
// in has none.
func windowsRunes(part string, pieces []piece, isDrive bool) error {
	for _, p := range pieces {
		if i := strings.IndexAny(p.text, reservedRunes); i >= 0 && !isDrive {
			return fmt.Errorf("the file name %q has a %c, which Windows does not allow; remove it", part, p.text[i])
		}
	}
	return nil
}

// windowsPart reports what Windows refuses in a part of a path that the user wrote.
func windowsPart(s string, isDrive bool) error {
	if isDrive || s == "" || s == "." || s == ".." {
		return nil
	}
	if stem, _, _ := strings.Cut(s, "."); device(stem) {
		return fmt.Errorf("%q is a device on Windows, not a file; choose another name", s)
	}
	if strings.TrimRight(s, ". ") != s {
		return fmt.Errorf("the name %q ends in a dot or a space, which Windows drops; remove it", s)
	}
	return nil
}
