package stages_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// A login that is refused, a database that is not there are permanent; a server that does not answer may be back. None of these
// errors, nor one about the DSN itself, holds the password.
func TestMySQLConnectErrors(t *testing.T) {
	const secret = "s3cr3t/p@ss"
	good := testdb.MariaDB(t).Config()
	with := func(change func(c *mysql.Config)) string {
		c := good.Clone()
		change(c)
		return c.FormatDSN()
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for _, c := range []struct {
		name, dsn string
		permanent bool
		want      string
	}{
		{"password", with(func(c *mysql.Config) { c.Passwd = secret }), true, "(error 1045, SQLSTATE 28000)"},
		{"password in a URL", "mysql://" + good.User + ":" + url.QueryEscape(secret) + "@" + good.Addr + "/", true, "(error 1045, SQLSTATE 28000)"},
		{"no password", with(func(c *mysql.Config) { c.Passwd = "" }), true, "(error 1045, SQLSTATE 28000)"},
		{"user", with(func(c *mysql.Config) { c.User, c.Passwd = "nobody-s3", secret }), true, "nobody-s3"},
		{"database", with(func(c *mysql.Config) { c.DBName = "nowhere" }), true, "Unknown database 'nowhere' (error 1049"},
		{"refused", with(func(c *mysql.Config) { c.Passwd, c.Addr = secret, closed.Addr().String() }), false, "refused"},
		{"name", with(func(c *mysql.Config) { c.Passwd, c.Addr = secret, "branch.invalid:3306" }), false, "branch.invalid"},
		{"variable", with(func(c *mysql.Config) { c.Params = map[string]string{"no_such_variable": "1"} }), true, "no_such_variable"},
		{"unescaped", "mysql://me:" + secret + "%zz@127.0.0.1/db", true, "%40"},
		{"slash", "mysql://me:s3cr3t/p@ss@127.0.0.1/db", true, "%2F"},
		{"no address", "me:s3cr3t/p@ss", true, "tcp(host:3306)"},
		{"tls", "me:s3cr3t/p@ss@tcp(127.0.0.1)/db?tls=s3cr3t", true, "skip-verify"},
		{"tlsmin", "me:s3cr3t/p@ss@tcp(127.0.0.1)/db?tls=true&tlsmin=s3cr3t", true, "tlsmin"},
		{"tlsmin without tls", "me:s3cr3t/p@ss@tcp(127.0.0.1)/db?tlsmin=1.0", true, "no effect"},
		{"zone", "me:s3cr3t/p@ss@tcp(127.0.0.1)/db?time_zone='Asia%2FKolkata'", true, "+05:30"},
		{"character set", "me:s3cr3t/p@ss@tcp(127.0.0.1)/db?character_set_results=s3cr3t", true, "the DSN"},
		{"empty", "  ", true, "empty"},
	} {
		err := attempt(t, "mysql", pipeline.Request{DSN: c.dsn, Queries: asQueries([]string{"select 1"})})
		switch {
		case err == nil:
			t.Errorf("%s: accepted", c.name)
		case pipeline.IsPermanent(err) != c.permanent, !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: permanent %v: %v", c.name, pipeline.IsPermanent(err), err)
		case strings.Contains(err.Error(), "s3cr3t"), strings.Contains(err.Error(), "p@ss"):
			t.Errorf("%s: the password is in the error: %v", c.name, err)
		}
	}
}

// Rows come through TLS as they do without, from a server whose certificate is trusted; one that nobody vouches for is refused for
// good, with the settings that would connect.
func TestMySQLTLS(t *testing.T) {
	m := testdb.MariaDB(t)
	ca := m.CAFile()
	if ca == "" {
		t.Skip("this server's certificate is not known")
	}
	with := func(params string) string { return m.DSN() + "?" + params }
	query := []string{"select variable_value <> '' as encrypted from information_schema.session_status where variable_name = 'Ssl_cipher'", "select repeat('x', 100000) as v"}
	for params, want := range map[string]string{"tls=skip-verify": "1", "tls=preferred": "1", "tls=false": "0", "tls=true&tlsca=" + url.QueryEscape(ca): "1"} {
		s := open(t, "mysql", with(params), query...)
		rows, _ := texts(t, s, 0, 10)
		same(t, params, rows, []string{want})
		if rows, _ = texts(t, s, 1, 10); len(rows) != 1 || len(rows[0]) != 100000 {
			t.Errorf("%s: %d rows", params, len(rows))
		}
	}
	err := attempt(t, "mysql", pipeline.Request{DSN: with("tls=true"), Queries: asQueries(query)})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "tlsca=FILE") || !strings.Contains(err.Error(), "tls=skip-verify") {
		t.Errorf("the error is %v", err)
	}
	user := "secure_" + fmt.Sprint(os.Getpid())
	m.MustExec(t, m.DSN(), "create or replace user "+user+"@'%' identified by 'pw' require ssl")
	defer m.MustExec(t, m.DSN(), "drop user "+user+"@'%'")
	c := m.Config()
	c.User, c.Passwd, c.TLSConfig = user, "pw", "skip-verify"
	open(t, "mysql", c.FormatDSN(), "select 1")
}

// A stream that is cancelled while the connection is encrypted ends on the server, too.
func TestMySQLCancelOverTLS(t *testing.T) {
	if testdb.MariaDB(t).CAFile() == "" {
		t.Skip("this server may have no TLS")
	}
	dsn := createMySQL(t)
	for _, query := range []string{"select sleep(600)", mysqlSeries(1_000_000_000)} {
		s := open(t, "mysql", dsn+"?tls=skip-verify", query)
		cancelWhen(t, s, func() { mysqlActivity(t, dsn, "command <> 'Sleep'", 1) })
		closes(t, s)
		mysqlActivity(t, dsn, "true", 0)
	}
}

// MariaDB's ed25519 accounts and accounts without a password can log in; the socket is as good as a port.
func TestMySQLAccounts(t *testing.T) {
	m := testdb.MariaDB(t)
	dsn := createMySQL(t)
	user := "reader_" + fmt.Sprint(os.Getpid())
	login := func(password string) error {
		c, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		c.User, c.Passwd = user, password
		return attempt(t, "mysql", pipeline.Request{DSN: c.FormatDSN(), Queries: asQueries([]string{"select 1"})})
	}
	drop := func() { m.MustExec(t, m.DSN(), "drop user if exists "+user+"@'%'") }
	defer drop()
	for name, create := range map[string]string{
		"ed25519":  "install soname 'auth_ed25519'; create user " + user + "@'%' identified via ed25519 using password('Grüße, a long enough password, longer than 32 bytes')",
		"native":   "create user " + user + "@'%' identified by 'Grüße, a long enough password, longer than 32 bytes'",
		"no proof": "create user " + user + "@'%'",
	} {
		t.Run(name, func(t *testing.T) {
			drop()
			if err := m.Exec(t.Context(), m.DSN(), create); err != nil {
				t.Skip(err) // the server has no such plugin, or has it already
			}
			m.MustExec(t, m.DSN(), "grant select on *.* to "+user+"@'%'")
			password := "Grüße, a long enough password, longer than 32 bytes"
			if name == "no proof" {
				password = ""
			}
			if err := login(password); err != nil {
				t.Error(err)
			}
			if err := login(password + "x"); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "error 1045") {
				t.Errorf("a wrong password gave %v", err)
			}
		})
	}
}

// The ways to log in of MySQL 8 are spoken as the usual driver speaks them: the same scripted server lets both in with the right
// password, and neither with a wrong one.
func TestMySQLSHA2(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, plugin := range []string{"caching_sha2_password", "sha256_password"} {
		for _, secure := range []bool{false, true} {
			for _, known := range []bool{true, false} {
				for _, switched := range []bool{false, true} {
					if known && plugin == "sha256_password" {
						continue
					}
					t.Run(fmt.Sprintf("%s tls=%v known=%v switched=%v", plugin, secure, known, switched), func(t *testing.T) {
						s := &sha2Server{plugin: plugin, password: "pässword", known: known, switched: switched, key: key, certificate: certified.TLS.Certificates[0]}
						addr := s.start(t)
						for password, in := range map[string]bool{"pässword": true, "wrong": false, "": false} {
							c := mysql.NewConfig()
							c.User, c.Passwd, c.Net, c.Addr, c.Logger = "me", password, "tcp", addr, &mysql.NopLogger{}
							if secure {
								c.TLSConfig = "skip-verify"
							}
							dsn := c.FormatDSN()
							if secure {
								dsn = strings.Replace(dsn, "skip-verify", "true&tlsca="+url.QueryEscape(ca), 1)
							}
							err := attempt(t, "mysql", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"select 1"})})
							if got := strings.Contains(err.Error(), "this is only a script"); got != in || !in && !strings.Contains(err.Error(), "error 1045") {
								t.Errorf("password %q: %v", password, err)
							}
							connector, err := mysql.NewConnector(c)
							if err != nil {
								t.Fatal(err)
							}
							conn, err := connector.Connect(context.Background())
							if (err == nil) != in {
								t.Errorf("the usual driver with the password %q: %v", password, err)
							}
							if err == nil {
								_ = conn.Close()
							}
						}
						if s.knows("pässword") {
							t.Error("the password went over the line in clear")
						}
					})
				}
			}
		}
	}
}

// A server that wants to read a file of this machine, or the password as it is, or speaks something else, gets nothing.
func TestMySQLStrangeServers(t *testing.T) {
	for name, c := range map[string]struct {
		greeting, want string
		permanent      bool
	}{
		"too busy":         {"\x17\x00\x00\x00\xff\x10\x04Too many connections", "Too many connections (error 1040)", false},
		"blocked":          {"\x1b\x00\x00\x00\xff\x69\x04Host is blocked, unblock", "FLUSH HOSTS", true},
		"another protocol": {"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", "are host and port right?", false},
		"hangs up":         {"", "closed the connection", false},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, func(conn net.Conn) { _, _ = io.WriteString(conn, c.greeting) })
			err := attempt(t, "mysql", pipeline.Request{DSN: "me:s3cr3t@tcp(" + addr + ")/", Queries: asQueries([]string{"select 1"})})
			if err == nil || pipeline.IsPermanent(err) != c.permanent || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	for _, plugin := range []string{"mysql_clear_password", "dialog", "made_up"} {
		s := &sha2Server{plugin: plugin, switched: true}
		err := attempt(t, "mysql", pipeline.Request{DSN: "me:s3cr3t@tcp(" + s.start(t) + ")/", Queries: asQueries([]string{"select 1"})})
		if !pipeline.IsPermanent(err) || s.knows("s3cr3t") {
			t.Errorf("%s: %v", plugin, err)
		}
	}
	s := &sha2Server{plugin: "mysql_native_password", password: "", switched: false, answer: "\xfb/etc/passwd"}
	err := attempt(t, "mysql", pipeline.Request{DSN: "me@tcp(" + s.start(t) + ")/", Queries: asQueries([]string{"select 1"})})
	if err == nil || !strings.Contains(err.Error(), "breaks the protocol") {
		t.Errorf("the error is %v", err)
	}
}
