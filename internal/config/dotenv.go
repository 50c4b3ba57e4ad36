package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"

	"github.com/joho/godotenv"
)

// DotEnv reads the .env file beside a job file; a map without entries if there is none. The environment wins over it:
// it is read, never loaded into the process. In a value without single quotes $ begins a reference to another
// variable of the file, so a password with a $ needs single quotes. What is wrong is named by its line, and never
// quoted: it may be a password.
func DotEnv(jobPath string) (map[string]string, error) {
	path := dotEnvPath(jobPath)
	data, err := readSmall(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return map[string]string{}, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	text, bad := decode(data)
	if bad != nil {
		return nil, fmt.Errorf("read %s: %w", path, bad.plain())
	}
	text = unixLines(text)
	vars, err := godotenv.UnmarshalBytes(text)
	if err != nil {
		line, why := dotEnvSlip(text)
		return nil, fmt.Errorf("read %s: line %d: %s", path, line, why)
	}
	for name := range vars {
		if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
			return nil, fmt.Errorf("read %s: line %d: %s", path, lineOfName(text, name), notAssigned(name))
		}
	}
	return vars, nil
}

func dotEnvPath(jobPath string) string { return filepath.Join(filepath.Dir(jobPath), ".env") }

// longestValue is the most lines that a value between quotes is believed to have, such as a key.
const longestValue = 200

// dotEnvSlip finds the line of a text that cannot be read, and says why: the one after all that can be read.
func dotEnvSlip(text []byte) (line int, why string) {
	lines := bytes.SplitAfter(text, []byte("\n"))
	read := 0
	for n := 0; n < min(len(lines), read+longestValue); n++ {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[read:n+1], nil)); err == nil {
			read = n + 1
		}
	}
	for read < len(lines)-1 && len(bytes.TrimSpace(lines[read])) == 0 {
		read++
	}
	name, value, assigns := strings.Cut(string(lines[min(read, len(lines)-1)]), "=")
	value = strings.TrimSpace(value)
	switch {
	case strings.HasPrefix(name, "\ufeff"):
		why = "it begins with a byte order mark, which another file has left here; remove it, or write the line anew"
	case !assigns:
		why = notAssigned(strings.TrimSpace(name))
	case strings.HasPrefix(strings.TrimSpace(name), "$"):
		why = "it is a command of PowerShell; write NAME=value, without $env:"
	case strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'"):
		why = "the quote that begins the value has no end, or something follows it; put the value between quotes that are not in it"
	default:
		why = "the name has other signs than letters, digits and _; write NAME=value, and values with spaces or # in them between quotes"
	}
	return read + 1, why
}

// notAssigned says what is wrong with a line whose name cannot be one.
func notAssigned(name string) string {
	word, _, _ := strings.Cut(name, " ")
	if word = strings.ToLower(word); word == "set" || word == "setx" || word == "export" {
		return "it is a command of a shell; write NAME=value alone, without " + word
	}
	return "it is not NAME=value; put values with spaces or # in them between quotes"
}

// lineOfName is the line in which a variable is set; 1 if none is.
func lineOfName(text []byte, name string) int {
	at := regexp.MustCompile(`(?m)^\s*(?:export\s+)?` + regexp.QuoteMeta(name) + `\s*[=:]`).FindIndex(text)
	if name == "" { // the parser takes a last line without = for a value
		at = []int{len(bytes.TrimRightFunc(text, unicode.IsSpace))}
	}
	if at == nil {
		return 1
	}
	return placeOf(text, at[0]+len(text[at[0]:])-len(bytes.TrimLeftFunc(text[at[0]:], unicode.IsSpace))).line
}
