package stages

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// errPGDSN says what a DSN looks like. It repeats nothing of the one that could not be read: with a stray '@', '/' or
// quote in it, any piece may be part of the password.
var errPGDSN = errors.New(`the DSN is neither a URL (postgres://user:password@host:5432/database) nor a list (host=... user=... password='...' dbname=...); ` +
	`in a URL, write the special characters of a password as %XX: @ as %40, / as %2F, % as %25`)

// pgParseReasons are what pgconn finds wrong with a DSN whose parts it could tell from each other.
var pgParseReasons = []string{"failed to configure TLS", "failed to read service", "invalid sslcertmode", "invalid connect_timeout",
	"unknown target_session_attrs", "port numbers to", "invalid port", "unknown channel_binding", "invalid require_auth"}

// pgParseDSN reads a DSN. Its errors hold no part of a password.
func pgParseDSN(dsn string) (*pgconn.Config, error) {
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("the DSN is empty: is its environment variable set?")
	}
	if isPGURL(dsn) {
		u, err := url.Parse(dsn)
		if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
			return nil, errPGDSN
		}
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, pgParseError(dsn, err)
	}
	if err := pgOwnSettings(config); err != nil {
		return nil, err
	}
	if err := pgUser(dsn, config); err != nil {
		return nil, err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = pgConnectTimeout
	}
	dialer := net.Dialer{KeepAliveConfig: keepAlive, Timeout: config.ConnectTimeout}
	config.DialFunc = dialer.DialContext
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "fanmill"
	}
	return config, nil
}

// pgUser finds out whether the user is somebody's wish. libpq takes the account that the process runs under, which
// over a network is nearly always a mistake; through a Unix socket it is how one logs in.
func pgUser(dsn string, config *pgconn.Config) error {
	for _, name := range []string{"PGUSER", "PGSERVICE"} {
		if os.Getenv(name) != "" {
			return nil
		}
	}
	given := false
	if isPGURL(dsn) {
		if u, err := url.Parse(dsn); err == nil {
			given = u.User.Username() != "" || u.Query().Has("user") || u.Query().Has("service")
		}
	} else {
		for _, name := range []string{"user", "service"} {
			for _, field := range strings.Fields(strings.ReplaceAll(dsn, "=", " = ")) {
				given = given || field == name
			}
		}
	}
	if given || strings.HasPrefix(config.Host, "/") {
		return nil
	}
	return errors.New("there is no user: add user and password (postgres://user:password@host/database, user=... password=...)")
}

// pgOwnSettings takes those keys out of a DSN that are not the server's, which would refuse them: libpq's lowest TLS
// version, which pgconn does not know, and those of pgx and its pool, which people copy from other programs.
func pgOwnSettings(config *pgconn.Config) error {
	take := func(key string) string {
		v := config.RuntimeParams[key]
		delete(config.RuntimeParams, key)
		return v
	}
	switch mode := take("default_query_exec_mode"); mode {
	case "", "cache_statement", "cache_describe", "describe_exec", "exec":
		// All the same here: unnamed statements within one transaction, which need no cache and which every pooler
		// carries.
	case "simple_protocol":
		return errors.New("the DSN: default_query_exec_mode=simple_protocol cannot be done: a query's columns are asked for before it runs, which only the extended " +
			"protocol can do; leave the setting out: no prepared statement outlives its transaction, so that pool_mode=transaction needs nothing special")
	default:
		return errors.New("the DSN: default_query_exec_mode is none of cache_statement, cache_describe, describe_exec, exec; leave it out")
	}
	for key := range config.RuntimeParams {
		if strings.HasPrefix(key, "pool_") || key == "statement_cache_capacity" || key == "description_cache_capacity" {
			delete(config.RuntimeParams, key)
		}
	}
	lowest := take("ssl_min_protocol_version")
	if lowest == "" {
		return nil
	}
	version, ok := map[string]uint16{"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[lowest]
	if !ok {
		return errors.New("the DSN: ssl_min_protocol_version is none of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3")
	}
	pgLowerTLS(config.TLSConfig, version)
	for _, f := range config.Fallbacks {
		pgLowerTLS(f.TLSConfig, version)
	}
	return nil
}

// pgLowerTLS accepts servers from a version on. Those before TLS 1.2 know no key exchange that Go still offers by
// itself.
func pgLowerTLS(c *tls.Config, version uint16) {
	if c == nil {
		return
	}
	if c.MinVersion = version; version >= tls.VersionTLS12 {
		return
	}
	for _, suites := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, suite := range suites {
			c.CipherSuites = append(c.CipherSuites, suite.ID)
		}
	}
}

// pgParseError says what is wrong without pgconn's own text, which quotes the DSN.
func pgParseError(dsn string, err error) error {
	text := strings.ReplaceAll(err.Error(), dsn, "")
	for _, reason := range pgParseReasons {
		if !strings.Contains(text, reason) || strings.Contains(dsn, reason) {
			continue
		}
		if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(reason, "failed") {
			err := fmt.Errorf("the DSN: %s: %w", reason, inner)
			if inner.Error() != "sslmode is invalid" {
				err = fileError{err}
			}
			return redacted(err, pgSecrets(dsn, nil))
		}
		return fmt.Errorf("the DSN: %s", reason)
	}
	return errPGDSN
}

func isPGURL(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// pgSecrets lists what must not appear in an error: passwords from the DSN, the environment, a service or password
// file, as they are and as the DSN spells them. One that equals the user's, database's or host's name is let through
// as that name.
func pgSecrets(dsn string, config *pgconn.Config) []string {
	var secrets []string
	names := map[string]bool{"": true}
	if config != nil {
		secrets = append(secrets, config.Password)
		names[config.User], names[config.Database], names[config.Host] = true, true, true
	}
	if isPGURL(dsn) {
		if u, err := url.Parse(dsn); err == nil {
			p, _ := u.User.Password()
			secrets = append(secrets, p, u.Query().Get("password"), u.Query().Get("sslpassword"))
		}
		_, rest, _ := strings.Cut(dsn, "://")
		userinfo, _, _ := strings.Cut(rest, "@")
		_, raw, _ := strings.Cut(userinfo, ":")
		secrets = append(secrets, raw)
	} else {
		for _, key := range []string{"password", "sslpassword"} {
			if _, rest, found := strings.Cut(dsn, key); found {
				rest = strings.TrimLeft(rest, " =")
				value, _, _ := strings.Cut(rest, " ")
				secrets = append(secrets, value, strings.Trim(value, "'"))
			}
		}
	}
	kept := secrets[:0]
	for _, s := range secrets {
		if !names[s] {
			kept = append(kept, s)
		}
	}
	return kept
}

// Host implements pipeline.Driver. Of several hosts the first counts.
func (postgres) Host(dsn string) string {
	config, err := pgParseDSN(dsn)
	if err != nil || strings.HasPrefix(config.Host, "/") {
		return ""
	}
	return strings.ToLower(net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))))
}
