package stages

import (
	"regexp"
	"strings"
)

// passwordPair is password=... and its like in lists and URLs, with the quotes of libpq, ADO and ODBC.
var passwordPair = regexp.MustCompile(`(?i)(?:^(?:odbc:)?|[\s;?&])(?:ssl)?(?:password|passwd|pwd)\s*=\s*('(?:[^'\\]|\\.)*'|"[^"]*"|\{(?:[^}]|\}\})*\}|(?:\$\{[^}]*\}|[^\s;&])*)`)

// passwordsIn finds the passwords of a URL or of a list of key=value, as they are written there.
func passwordsIn(dsn string) (passwords []string) {
	for _, m := range passwordPair.FindAllStringSubmatch(dsn, -1) {
		passwords = append(passwords, m[1])
	}
	_, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return passwords
	}
	// The authority ends at the first ?, unless the password has one that should have been escaped.
	authority, _, _ := strings.Cut(rest, "?")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		authority, at = rest, strings.LastIndexByte(rest, '@')
	}
	if at >= 0 {
		_, password, _ := strings.Cut(authority[:at], ":")
		passwords = append(passwords, password)
	}
	return passwords
}
