package stages

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// errMySQLDSN says what a DSN looks like. It repeats nothing of the one that could not be read: any piece of it may
// be part of the password.
var errMySQLDSN = errors.New(`the DSN is neither a URL (mysql://user:password@host:3306/database?tls=true) nor user:password@tcp(host:3306)/database?tls=true; ` +
	`in a URL, write the special characters of a password as %XX: @ as %40, / as %2F, % as %25`)

var errMySQLUser = errors.New("there is no user: add user and password (mysql://user:password@host/database, user:password@tcp(host)/database)")

// mysqlTarget is what a DSN asks for: the driver's configuration (github.com/go-sql-driver/mysql, whose DSNs are read
// with all their parameters) and what is read from parameters of our own.
type mysqlTarget struct {
	*mysql.Config
	zone      time.Duration // of the session, east of UTC
	tinyBools bool          // tinyint(1) is a boolean, not a number
}

const mysqlConnectTimeout = 15 * time.Second // to dial and log in; timeout in the DSN overrides it

// mysqlParseDSN reads a DSN. Its errors hold no part of a password.
func mysqlParseDSN(dsn string) (*mysqlTarget, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("the DSN is empty: is its environment variable set?")
	}
	c, err := mysqlParseURL(dsn)
	if errors.Is(err, errNoMySQLURL) {
		if c, err = mysql.ParseDSN(dsn); err != nil {
			err = mysqlParseError(err)
		}
	}
	if err != nil {
		return nil, err
	}
	if c.User == "" {
		return nil, errMySQLUser
	}
	t := &mysqlTarget{Config: c}
	if t.Timeout == 0 {
		t.Timeout = mysqlConnectTimeout
	}
	if t.Net == "unix" && t.TLS != nil && t.AllowFallbackToPlaintext {
		t.TLS = nil // nobody can listen there
	}
	if t.ColumnsWithAlias {
		return nil, errors.New("the DSN: columnsWithAlias is not supported; name the columns in the query")
	}
	return t, t.ownParams()
}

// errNoMySQLURL is a DSN that is not a URL.
var errNoMySQLURL = errors.New("not a URL")

func mysqlParseURL(dsn string) (*mysql.Config, error) {
	if !strings.HasPrefix(dsn, "mysql://") && !strings.HasPrefix(dsn, "mariadb://") {
		return nil, errNoMySQLURL
	}
	u, err := url.Parse(dsn)
	if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") || u.Fragment != "" || strings.Count(u.Path, "/") > 1 {
		return nil, errMySQLDSN
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		host = "127.0.0.1"
	}
	if port == "" {
		port = strconv.Itoa(mysqlPort)
	}
	// Spaces as + are left to the other form; here %20 and + are both a space.
	query := u.Query()
	var params []string
	for _, key := range slices.Sorted(maps.Keys(query)) {
		params = append(params, key+"="+url.QueryEscape(query.Get(key)))
	}
	address := "tcp(" + net.JoinHostPort(host, port) + ")"
	if socket := query.Get("socket"); socket != "" {
		address = "unix(" + socket + ")"
	}
	c, err := mysql.ParseDSN(address + "/?" + strings.Join(params, "&"))
	if err != nil {
		return nil, mysqlParseError(err)
	}
	delete(c.Params, "socket")
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName = strings.TrimPrefix(u.Path, "/")
	return c, nil
}

// mysqlParseError says what is wrong without the driver's own text, which quotes pieces of the DSN.
func mysqlParseError(err error) error {
	if strings.Contains(err.Error(), "config name") {
		return errors.New("the DSN: tls must be true, skip-verify, preferred or false")
	}
	return errMySQLDSN
}

// ownParams takes the parameters that the driver does not know, and would set as variables of the session, out of its
// hands.
func (t *mysqlTarget) ownParams() error {
	for name, value := range maps.Clone(t.Params) {
		var err error
		switch name {
		case "tlsca":
			err = t.trust(value)
		case "tlsmin":
			err = t.tlsFrom(value)
		case "time_zone":
			t.zone, err = mysqlZone(value)
		case "tinyInt1isBit": // as MySQL's connectors call it
			var bit bool
			bit, err = strconv.ParseBool(value)
			t.tinyBools = bit
		default:
			if !mysqlVariable(name) {
				err = errMySQLDSN
			}
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("the DSN: %s: %w", name, err)
		}
		delete(t.Params, name)
	}
	return nil
}

// mysqlVariable reports whether a name can be one of a server's variable, and is not one that this stage needs for
// itself.
func mysqlVariable(name string) bool {
	for i := range len(name) {
		if !wordByte(name[i]) && name[i] != '.' && name[i] != '@' {
			return false
		}
	}
	return name != "" && !strings.HasPrefix(name, "character_set")
}

// trust makes the certificates of a file those that vouch for servers.
func (t *mysqlTarget) trust(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fileError{err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fileError{fmt.Errorf("%s holds no certificate in PEM form", file)}
	}
	if t.TLS == nil || t.TLS.InsecureSkipVerify {
		return errors.New("it has no effect without tls=true")
	}
	t.TLS.RootCAs = pool
	return nil
}

// tlsFrom permits TLS versions that are not safe any more.
func (t *mysqlTarget) tlsFrom(version string) error {
	versions := map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	v, known := versions[version]
	if !known {
		return errors.New("must be 1.0, 1.1, 1.2 or 1.3")
	}
	if t.TLS == nil {
		return errors.New("it has no effect without tls=true, tls=skip-verify or tls=preferred")
	}
	t.TLS.MinVersion = v
	if v < tls.VersionTLS12 {
		// Servers that old know no key exchange that Go still offers by itself.
		for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			t.TLS.CipherSuites = append(t.TLS.CipherSuites, s.ID)
		}
	}
	return nil
}

// mysqlZone reads a time zone by its offset, as +05:30, with or without SQL's quotes.
func mysqlZone(value string) (time.Duration, error) {
	value = strings.Trim(value, "'\"")
	if strings.EqualFold(value, "UTC") || value == "Z" {
		return 0, nil
	}
	p := isoText{b: []byte(value)}
	east, _, ok := p.offset()
	if !ok || !p.done() || east%60_000_000 != 0 {
		return 0, errors.New("must be an offset such as '+05:30': with the name of a zone, an hour a year would have two meanings")
	}
	return time.Duration(east) * time.Microsecond, nil
}

// zoneText is the session's time zone as SQL.
func (t *mysqlTarget) zoneText() string {
	minutes, sign := int(t.zone/time.Minute), '+'
	if minutes < 0 {
		minutes, sign = -minutes, '-'
	}
	return fmt.Sprintf("'%c%02d:%02d'", sign, minutes/60, minutes%60)
}

// secrets lists what must not appear in an error: the password, as it is and as a URL spells it. One that equals the
// user's, database's or host's name is let through as that name.
func (t *mysqlTarget) secrets() []string {
	host, _, _ := net.SplitHostPort(t.Addr)
	if p := t.Passwd; p != t.User && p != t.DBName && p != host {
		return []string{p, url.QueryEscape(p), url.PathEscape(p), url.UserPassword("", p).String()[1:]}
	}
	return nil
}

// Host implements pipeline.Driver.
func (mysqlStage) Host(dsn string) string {
	t, err := mysqlParseDSN(dsn)
	if err != nil || t.Net == "unix" {
		return ""
	}
	return strings.ToLower(t.Addr)
}
