package config

import (
	"regexp"
	"strings"

	"fanmill/pipeline"
)

var (
	// password=... and its like in lists and URLs, with the quotes of libpq, ADO and ODBC
	passwordPair = regexp.MustCompile(`(?i)(?:^(?:odbc:)?|[\s;?&])(?:ssl)?(?:password|passwd|pwd)\s*=\s*('(?:[^'\\]|\\.)*'|"[^"]*"|\{(?:[^}]|\}\})*\}|(?:\$\{[^}]*\}|[^\s;&])*)`)
	mysqlAddress = regexp.MustCompile(`^[^:/@\s]*:(.*)@(?:\w*\(|/)`)
	anyReference = regexp.MustCompile(`\$\{[^}]*\}`)
)

// Secret is a secret of fanmill's own as the environment has it: itself, or ${file:PATH}. Anything else in it is
// taken as it is, since a password may have any sign.
func Secret(text string) (string, error) {
	path, ok := strings.CutPrefix(text, "${"+filePrefix)
	if !ok || !strings.HasSuffix(path, "}") {
		return text, nil
	}
	return secretFile(strings.TrimSuffix(path, "}"), ".")
}

// SecretLiterals names the connections whose dsn holds a password as such, rather than a reference ${VAR}. It reads the
// forms of all databases: URLs, key=value lists, user:password@tcp(host).
func SecretLiterals(j *pipeline.Job) []string {
	var ids []string
	for i := range j.Connections {
		if literalSecret(j.Connections[i].DSN) {
			ids = append(ids, j.Connections[i].ID)
		}
	}
	return ids
}

func literalSecret(dsn string) bool {
	literal := func(s string) bool {
		return strings.Trim(anyReference.ReplaceAllString(s, ""), `'"{} `) != ""
	}
	for _, m := range passwordPair.FindAllStringSubmatch(dsn, -1) {
		if literal(m[1]) {
			return true
		}
	}
	if _, rest, ok := strings.Cut(dsn, "://"); ok {
		// The authority ends at the first ?, unless the password has one that should have been escaped.
		authority, _, _ := strings.Cut(rest, "?")
		at := strings.LastIndexByte(authority, '@')
		if at < 0 {
			authority, at = rest, strings.LastIndexByte(rest, '@')
		}
		if at >= 0 {
			_, password, _ := strings.Cut(authority[:at], ":")
			return literal(password)
		}
		return false
	}
	m := mysqlAddress.FindStringSubmatch(dsn)
	return m != nil && literal(m[1])
}
