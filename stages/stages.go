// Package stages holds the databases that rows come from, one file or small family of files for each. A stage knows how to
// open its database read-only, describe queries, stream rows into columnar builders without boxing a value, cancel, and
// tell a failure that may pass from one that will not. How a batch is cut, retried and delivered is not its business.
//
// A new database is one more file, or a few, of which one registers its pipeline.DatabaseKind; nothing else has to know
// it.
package stages

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode/utf8"

	"fanmill/pipeline"
)

// registered are the kinds of databases.
var registered []pipeline.DatabaseKind

// register is called by the init function of each database's file.
func register(kind pipeline.DatabaseKind) { registered = append(registered, kind) }

// Kinds returns the databases of this build by each of their names, those that have several under all of them.
func Kinds() map[string]*pipeline.DatabaseKind {
	all := make(map[string]*pipeline.DatabaseKind, 2*len(registered))
	for _, kind := range registered {
		for _, name := range append([]string{kind.Name}, kind.Aliases...) {
			if _, taken := all[name]; taken {
				panic("stages: two kinds of databases are called " + name)
			}
			all[name] = &kind
		}
	}
	return all
}

// fileError is what is wrong with a file that a DSN names, such as a certificate, and not with the DSN.
type fileError struct{ error }

var errFile = errors.New("a file that the DSN names")

func (e fileError) Unwrap() error        { return e.error }
func (e fileError) Is(target error) bool { return target == errFile }

// ofText is err unless it is a fileError.
func ofText(err error) error {
	if errors.Is(err, errFile) {
		return nil
	}
	return err
}

// slipOf finds which of a DSN's settings a name is meant to be that differs from it by case, spaces, an end that is missing or too much, or one letter;
// "" if there is none, or the name is one. A driver passes over what it does not know.
func slipOf(name string, settings []string) string {
	flat := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s))
	}
	found, n := "", flat(name)
	for _, s := range settings {
		switch f := flat(s); {
		case strings.EqualFold(name, s):
			return ""
		case len(n) > 5 && (strings.HasPrefix(f, n) || strings.HasPrefix(n, f)), oneEditApart(n, f):
			found = cmp.Or(found, s)
		}
	}
	return found
}

// oneEditApart reports whether two words are equal or one letter more, less or other makes them so.
func oneEditApart(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	same := 0
	for same < len(a) && a[same] == b[same] {
		same++
	}
	if len(a) == len(b) {
		return same == len(a) || a[same+1:] == b[same+1:]
	}
	return a[same:] == b[same+1:]
}

// queryLabel names query q in errors.
func queryLabel(queries []pipeline.Query, q int) string {
	switch {
	case queries[q].Name != "":
		return fmt.Sprintf("query %q", queries[q].Name)
	case len(queries) > 1:
		return fmt.Sprintf("query %d", q+1)
	default:
		return "query"
	}
}

// columnName is a column's name; one without has its place. Bytes that are not UTF-8, which SQLite and a database of SQL_ASCII take, become
// U+FFFD each, as JSON would make of them: part of what is said about columns travels as JSON and part of it does not, and a column must
// have one name.
func columnName(name string, i int) string {
	if name == "" {
		return fmt.Sprint("column", i+1)
	}
	if !utf8.ValidString(name) {
		return string([]rune(name))
	}
	return name
}

// appendHex appends bytes as the text that a Binary column has: 0x and hexadecimal digits. Texts that are not UTF-8 are shown so, too:
// which encoding they have would be a guess.
func appendHex(dst, v []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '0', 'x')
	for _, b := range v {
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return dst
}

// A branch that vanishes without a word (power, a cut line) is noticed after about 70 seconds. A query that merely takes
// its time is not affected: its server's kernel answers.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 4}
