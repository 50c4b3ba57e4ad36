package stages_test

import (
	"strings"
	"testing"

	"fanmill/internal/minitds"
	"fanmill/pipeline"
	"fanmill/stages"
)

// A DSN without a user is refused before anything is opened, whatever its form; validate says so. One that has it is
// not.
func TestMissingUser(t *testing.T) {
	t.Setenv("PGUSER", "")
	t.Setenv("PGSERVICE", "")
	for driver, dsns := range map[string][]string{
		"sqlserver": {"sqlserver://:s3cr3t@host?database=d", "server=host;password=s3cr3t;database=d", "odbc:server=host;pwd=s3cr3t;database=d", "odbc:server=host;uid=;pwd={s3cr3t}"},
		"mysql":     {"mysql://host/d", "mysql://:s3cr3t@host/d", "tcp(host:3306)/d", ":s3cr3t@tcp(host:3306)/d"},
		"postgres":  {"postgres://host/d", "postgres://:s3cr3t@host/d", "host=h dbname=d", "host=h password=s3cr3t"},
	} {
		for _, dsn := range dsns {
			err := stages.Kinds()[driver].CheckDSN(dsn)
			if err == nil || !strings.Contains(err.Error(), "user") || !strings.Contains(err.Error(), "add ") || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s %s: %v", driver, dsn, err)
			}
		}
	}
	for driver, dsns := range map[string][]string{
		"sqlserver": {"sqlserver://me@host", "server=host;uid=me;pwd=x", "odbc:server=host;UID=me;PWD=x", "server=host;authenticator=krb5"},
		"mysql":     {"mysql://me@host/d", "me@tcp(host:3306)/d"},
		"postgres":  {"postgres://me@host/d", "postgres://host/d?user=me", "host=h user=me", "host = h user = me", "host=/run/postgresql dbname=d"},
	} {
		for _, dsn := range dsns {
			if err := stages.Kinds()[driver].CheckDSN(dsn); err != nil && !strings.Contains(err.Error(), "krb5") {
				t.Errorf("%s %s: %v", driver, dsn, err)
			}
		}
	}
}

// A list of ODBC's is understood as its own drivers do: names, braces, a server with its protocol and port.
func TestSQLServerODBC(t *testing.T) {
	s, _ := answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt}})
	host, port, _ := strings.Cut(s.Addr(), ":")
	password := strings.ReplaceAll(sqlserverPassword, "}", "}}")
	for _, dsn := range []string{
		"odbc:Driver={ODBC Driver 18 for SQL Server};Server=" + host + "," + port + ";Database=branch;UID=fanmill;PWD={" + password + "};Encrypt=disable",
		"odbc:server=tcp:" + host + "," + port + ";database=branch;uid=fanmill;pwd=" + sqlserverPassword + ";encrypt=disable",
		"odbc: Server = {" + host + " , " + port + "} ; UID = {fanmill}; pwd={" + password + "} ;database={branch};Trusted_Connection=no;encrypt=disable;;",
		"odbc:addr=" + host + ";port=" + port + ";user id=fanmill;password={" + password + "};database=branch;encrypt=disable",
	} {
		err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"q"})})
		logins := s.Record().Logins
		if err != nil || len(logins) == 0 {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if l := logins[len(logins)-1]; l.User != "fanmill" || l.Password != sqlserverPassword || l.Database != "branch" {
			t.Errorf("%s: logged in as %+v", dsn, l)
		}
		if got := stages.Kinds()["sqlserver"].Driver.Host(dsn); got != s.Addr() {
			t.Errorf("%s leads to %s", dsn, got)
		}
	}
	for dsn, want := range map[string]string{
		`odbc:server=tcp:Branch.example\Sales;uid=me;pwd=x`:                        `branch.example\sales`,
		`odbc:server=Branch.example\Sales,1444;uid=me;pwd={a;}}b}`:                 "branch.example:1444",
		"odbc:server=branch.example;uid=me;pwd={s3cr3t":                            "",
		"odbc:server=branch.example;uid=me;pwd={x}y;database=d":                    "",
		"odbc:server=branch.example;encrypt=yes;uid=me;TrustServerCertificate=yes": "branch.example:1433",
	} {
		if got := stages.Kinds()["sqlserver"].Driver.Host(dsn); got != want {
			t.Errorf("%s leads to %q, want %q", dsn, got, want)
		}
	}
}
