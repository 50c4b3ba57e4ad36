package config

import (
	"regexp"
	"strings"
	"unicode"
)

// What a secret looks like where no table says that something is one. Who writes the like into a job that goes to a
// store gets it back with the place: a password that went there once is no secret any more.

// secretKey are names of keys, columns and headers whose value is a secret; notSecretKey are those of them that only
// say something of one.
var (
	secretKey    = regexp.MustCompile(`(?i)passw|pwd|passphrase|secret|token|credential|cookie|authorization|(api|access|private|account|shared|auth)[-_ ]?key|^pw$|^pin$`)
	notSecretKey = regexp.MustCompile(`(?i)(url|uri|file|path|name|header|ttl|type|method|mode|format|column|expires|expiry)s?$`)
)

const (
	secretWords = `(?:password|passwd|passphrase|pwd|secret|client[-_]?secret|api[-_]?key|access[-_]?key|account[-_]?key|shared[-_]?access[-_]?key|access[-_]?token|auth[-_]?token|token|sig)`
	// valueStart is how a value begins that is neither a reference, nor a column of an inventory, nor a bound parameter.
	valueStart = `["']?[^\s"'$&;,:?@(){}\[\]]`
)

// secretTexts find a secret within a text whose references were cut to ${}; each has a group around it.
var secretTexts = []*regexp.Regexp{
	regexp.MustCompile(`://[^\s/:@"']*:([^\s/@"']*[^\s/@"'${}][^\s/@"']*)@`), // in a URL
	// In a connection string, or a URL's query.
	regexp.MustCompile(`(?i)(?:^|[^a-z])` + secretWords + `["']?\s*=\s*(` + valueStart + `)`),
	regexp.MustCompile(`(?i)(?:^|[^a-z])(?:password|passwd|passphrase|pwd|secret)["']?\s*:\s*(` + valueStart + `)`),
	regexp.MustCompile(`(?i)^\s*(?:bearer|basic)\s+([A-Za-z0-9+/_=.~-]{8,})\s*$`),
	regexp.MustCompile(`(-----BEGIN [A-Z ]*PRIVATE KEY)`),
	regexp.MustCompile(`(eyJ[A-Za-z0-9_-]{8,}\.eyJ)`), // a JSON web token
	regexp.MustCompile(`(\bAKIA[0-9A-Z]{16}\b|\bwhsec_[A-Za-z0-9+/]{8,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bsk_live_[A-Za-z0-9]{8,})`),
}

// secretSQL finds a secret within a statement. A column called password is none, until it is compared with a text.
var secretSQL = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(?:^|[^a-z])(?:password|passwd|passphrase|pwd)["\]` + "`" + `]?\s*(?:=|:=|=>)?\s*N?'([^']+)'`),
	regexp.MustCompile(`(?i)identified\s+by\s+(?:password\s+)?["']([^"']+)["']`),
}

// quotedSQL is a text within a statement; ” is a quote in it.
var quotedSQL = regexp.MustCompile(`'((?:[^']|'')*)'`)

// template is a column of an inventory within a text.
var template = regexp.MustCompile(`\{[A-Za-z0-9_. -]+\}`)

// SecretText reports whether a text looks as if it had a secret in it. References are none.
func SecretText(text string) bool {
	text = template.ReplaceAllString(anyReference.ReplaceAllString(text, "${}"), "${}")
	for _, re := range secretTexts {
		if re.MatchString(text) {
			return true
		}
	}
	return false
}

// secretStatement is SecretText for SQL: names and comparisons in it are the statement's own, and what stands in quotes
// may be a connection string.
func secretStatement(sql string) bool {
	for _, re := range secretSQL {
		if re.MatchString(sql) {
			return true
		}
	}
	for _, m := range quotedSQL.FindAllStringSubmatch(sql, -1) {
		if SecretText(m[1]) {
			return true
		}
	}
	return false
}

// secretUnder reports whether the value of a key is a secret because of the key's name.
func secretUnder(key, value string) bool {
	if !secretKey.MatchString(key) || notSecretKey.MatchString(key) {
		return false
	}
	return !strings.Contains(value, "${") && template.ReplaceAllString(value, "") != "" && strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r)
	})
}
