// Package stages holds the databases that rows come from, one file or small family of files for each. A stage knows how to
// open its database read-only, describe queries, stream rows into columnar builders without boxing a value, cancel, and
// tell a failure that may pass from one that will not. How a batch is cut, retried and delivered is not its business.
//
// A new database is one more file with a pipeline.Driver that registers itself.
package stages

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"time"
	"unicode/utf8"

	"fanmill/pipeline"
)

var drivers = map[string]pipeline.Driver{}

// register is called by the init function of each database's file.
func register(d pipeline.Driver, names ...string) {
	for _, n := range names {
		if _, taken := drivers[n]; taken {
			panic("stages: two drivers are called " + n)
		}
		drivers[n] = d
	}
}

// Drivers returns every database by the names that a job may call it.
func Drivers() map[string]pipeline.Driver { return maps.Clone(drivers) }

// CheckDSN reports a DSN that its database cannot read at all, before anything is opened. One that can be read and leads nowhere, or names
// a certificate that is not there, is the branch's own trouble: it fails alone.
func CheckDSN(driver, dsn string) error {
	if d, ok := drivers[driver].(interface{ unreadable(dsn string) error }); ok {
		return d.unreadable(dsn)
	}
	return nil
}

// only is err if it is that one.
func only(err, that error) error {
	if errors.Is(err, that) {
		return that
	}
	return nil
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
