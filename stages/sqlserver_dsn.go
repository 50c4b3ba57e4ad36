package stages

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsoft/go-mssqldb/msdsn"
)

// sqlserverPacketSize is what Microsoft's own clients ask for; the driver's 4096 cost up to a quarter of the speed.
const sqlserverPacketSize = 8000

var errSQLServerDSN = errors.New(`the DSN is neither a URL (sqlserver://user:password@host:1433?database=sales, sqlserver://user:password@host/instance?database=sales) ` +
	`nor a list (server=host\instance;user id=...;password=...;database=sales); in a URL, write the special characters of a password as %XX: @ as %40, / as %2F, % as %25`)

// sqlserverTarget is a DSN that has been read.
type sqlserverTarget struct {
	config  msdsn.Config
	secrets []string
}

// sqlserverParseDSN reads a DSN. Its errors hold no part of a password.
func sqlserverParseDSN(dsn string) (*sqlserverTarget, error) {
	dsn = strings.TrimSpace(dsn)
	if dsn == "" {
		return nil, errors.New("the DSN is empty: is its environment variable set?")
	}
	isURL := false
	if scheme, rest, ok := strings.Cut(dsn, "://"); ok && !strings.ContainsAny(scheme, "=;") {
		if scheme != "sqlserver" && scheme != "mssql" {
			return nil, errSQLServerDSN
		}
		dsn, isURL = "sqlserver://"+rest, true
		if u, err := url.Parse(dsn); err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
			return nil, errSQLServerDSN
		}
	}
	dsn = sqlserverFromODBC(dsn)
	config, err := msdsn.Parse(dsn)
	if err == nil && config.Parameters[msdsn.Encrypt] == "" && sqlserverPins(config.Parameters) {
		// Without it the driver encrypts the login alone, and looks at no certificate.
		switch {
		case !isURL:
			dsn += ";encrypt=true"
		case strings.Contains(dsn, "?"):
			dsn += "&encrypt=true"
		default:
			dsn += "?encrypt=true"
		}
		config, err = msdsn.Parse(dsn)
	}
	t := &sqlserverTarget{config: config, secrets: sqlserverSecrets(dsn, &config)}
	if err != nil {
		if err = fmt.Errorf("the DSN: %w", err); strings.Contains(err.Error(), "certificate") {
			err = fileError{err}
		}
		return nil, redacted(err, t.secrets)
	}
	p := config.Parameters
	if err := sqlserverSlips(p); err != nil {
		return nil, err
	}
	if p[msdsn.Server] == "" {
		return nil, errSQLServerDSN // the driver would take this machine
	}
	c := &t.config
	if isURL && c.Instance != "" && c.Port != 0 && c.Database == "" {
		return nil, fmt.Errorf("the DSN has a port and /%s: if that is the database, write ?database=%s instead; an instance's name needs no port", c.Instance, url.QueryEscape(c.Instance))
	}
	if err := sqlserverUser(c); err != nil {
		return nil, err
	}
	if c.ChangePassword != "" {
		return nil, errors.New("the DSN has \"change password\": fanmill changes nothing on a server")
	}
	if err := sqlserverIntent(c); err != nil {
		return nil, err
	}
	if err := sqlserverSendable(c); err != nil {
		return nil, err
	}
	if p[msdsn.AppName] == "" {
		c.AppName = "fanmill"
	}
	if p[msdsn.PacketSize] == "" {
		c.PacketSize = sqlserverPacketSize
	}
	c.LogFlags = 0
	c.Encoding.Timezone = time.UTC // dates and times without a zone stay what they are
	c.Encoding.GuidConversion = false
	return t, nil
}

// sqlserverKeys are the settings of go-mssqldb that users write.
var sqlserverKeys = []string{"encrypt", "trustServerCertificate", "certificate", "serverCertificate", "hostNameInCertificate", "tlsmin", "applicationIntent",
	"app name", "workstation id", "packet size", "connection timeout", "dial timeout", "keepAlive", "ServerSPN", "failoverpartner", "failoverport",
	"multisubnetfailover", "authenticator", "database", "user id", "password", "server", "port", "protocol", "disableretry", "log", "timezone", "guid conversion", "epa enabled"}

// sqlserverSlips refuses a setting that would have no effect because of its spelling. What is unlike any is let be:
// connection strings come from other programs, whose settings mean nothing here.
func sqlserverSlips(p map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if like := slipOf(name, sqlserverKeys); like != "" {
			return fmt.Errorf("the DSN: %q is not a setting of SQL Server's; did you mean %q?", name, like)
		}
	}
	if v := p[msdsn.TLSMin]; v != "" && !slices.Contains([]string{"1.0", "1.1", "1.2", "1.3"}, v) {
		return errors.New("the DSN: tlsmin must be 1.0, 1.1, 1.2 or 1.3")
	}
	return nil
}

// sqlserverUser finds out whether somebody can log in. Without a user it is the account that the process runs under,
// which only Windows can say.
func sqlserverUser(c *msdsn.Config) error {
	switch {
	case c.User != "":
		return nil
	case c.Password != "":
		return errors.New("there is a password and no user: add the user (user id=... in a list, sqlserver://user:password@host in a URL)")
	case runtime.GOOS == "windows" || c.Parameters["authenticator"] != "":
		return nil
	}
	return errors.New("there is no user: add user and password (user id=...;password=... in a list, sqlserver://user:password@host in a URL); " +
		"only on Windows does fanmill log in without, as the account that it runs under")
}

// sqlserverPins reports whether a DSN says which certificate to accept.
func sqlserverPins(p map[string]string) bool {
	return p[msdsn.Certificate] != "" || p[msdsn.ServerCertificate] != "" || p[msdsn.HostNameInCertificate] != ""
}

// sqlserverSendable refuses what the driver would cut: it counts the texts of a login in characters, where the
// protocol has UTF-16 units [MS-TDS] 2.2.6.4.
func sqlserverSendable(c *msdsn.Config) error {
	for _, text := range []struct{ what, value string }{{"user", c.User}, {"password", c.Password}, {"database", c.Database}, {"app name", c.AppName}} {
		if strings.ContainsFunc(text.value, func(r rune) bool { return r > 0xFFFF }) {
			return fmt.Errorf("the DSN: the %s has a character beyond U+FFFF, such as an emoji, which a login to SQL Server cannot carry: give it another", text.what)
		}
	}
	return nil
}

// sqlserverIntent makes the login read-only unless the DSN says otherwise. The protocol wants a database for that.
func sqlserverIntent(c *msdsn.Config) error {
	switch intent := c.Parameters[msdsn.ApplicationIntent]; {
	case intent == "":
		c.ReadOnlyIntent = c.Database != ""
	case strings.EqualFold(intent, "readwrite"):
		c.ReadOnlyIntent = false
	case !strings.EqualFold(intent, "readonly"):
		return errors.New("the DSN: applicationIntent is ReadOnly or ReadWrite")
	case c.Database == "":
		return errors.New("the DSN: applicationIntent=ReadOnly needs a database")
	default:
		c.ReadOnlyIntent = true
	}
	return nil
}

// sqlserverSecrets lists what must not appear in an error: the password, as it is and as the DSN spells it. One that
// equals the user's, database's or host's name is let through as that name.
func sqlserverSecrets(dsn string, c *msdsn.Config) []string {
	secrets := []string{c.Password, c.ChangePassword, url.QueryEscape(c.Password)}
	if _, rest, ok := strings.Cut(dsn, "://"); ok {
		userinfo, _, _ := strings.Cut(rest, "@")
		_, raw, _ := strings.Cut(userinfo, ":")
		secrets = append(secrets, raw)
	}
	for _, part := range strings.Split(dsn, ";") {
		key, value, _ := strings.Cut(part, "=")
		switch strings.ToLower(strings.TrimSpace(strings.TrimPrefix(key, "odbc:"))) {
		case "password", "pwd", "change password":
			value = strings.TrimSpace(value)
			secrets = append(secrets, value, strings.Trim(value, `"{}`))
		}
	}
	var kept []string
	for _, s := range secrets {
		if s != "" && s != c.User && s != c.Database && s != c.Host {
			kept = append(kept, s)
		}
	}
	return kept
}

// Host implements pipeline.Driver: host:port, or host\instance where the server is asked for the port.
func (sqlserver) Host(dsn string) string {
	t, err := sqlserverParseDSN(dsn)
	if err != nil {
		return ""
	}
	c := &t.config
	if c.Instance != "" && c.Port == 0 {
		return strings.ToLower(c.Host + `\` + c.Instance)
	}
	port := c.Port
	if port == 0 {
		port = sqlserverPort
	}
	return strings.ToLower(net.JoinHostPort(c.Host, strconv.FormatUint(port, 10)))
}
