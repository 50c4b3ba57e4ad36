package stages_test

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"fanmill/internal/minitds"
	"fanmill/internal/testdb"
	"fanmill/pipeline"
)

// specials is a password with every character that means something to somebody.
const specials = ` !"#$%&'()*+,-./09:;<=>?@AZ[\]^_` + "`" + `az{|}~ßक `

// dsnForm spells a login in one of the forms that a DSN has.
type dsnForm func(host, port, user, password, database string) string

// A password of any characters logs in, in every form of a DSN, and one that is wrong is in no error.
func TestPasswords(t *testing.T) {
	query := asQueries([]string{"select 1 as n"})
	check := func(t *testing.T, driver, password string, dsn func(password string) string) {
		t.Helper()
		if err := attempt(t, driver, pipeline.Request{DSN: dsn(password), Queries: query}); err != nil {
			t.Errorf("%q: %v", dsn(password), err)
		}
		wrong := "wr0ng" + password
		err := attempt(t, driver, pipeline.Request{DSN: dsn(wrong), Queries: query})
		if !pipeline.IsPermanent(err) || strings.Contains(err.Error(), "wr0ng") || strings.Contains(err.Error(), "AZ[") {
			t.Errorf("a wrong password in %q: %v", dsn(wrong), err)
		}
	}
	passwords := []string{specials}
	for _, c := range specials {
		passwords = append(passwords, "a"+string(c)+"AZ["+string(c))
	}
	user := fmt.Sprintf("pass_%d", os.Getpid())
	logins := func(driver string, login func(t *testing.T, password string) (host, port, database string), forms map[string]dsnForm) {
		t.Run(driver, func(t *testing.T) {
			for _, password := range passwords {
				host, port, database := login(t, password)
				for _, form := range forms {
					check(t, driver, password, func(p string) string { return form(host, port, user, p, database) })
				}
			}
		})
	}
	asURL := func(scheme, parameters string) dsnForm {
		return func(host, port, user, password, database string) string {
			u := url.URL{Scheme: scheme, User: url.UserPassword(user, password), Host: host + ":" + port, Path: database, RawQuery: parameters}
			return u.String()
		}
	}
	quote := func(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }
	literal := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

	logins("postgres", func(t *testing.T, password string) (host, port, database string) {
		pg := testdb.Postgres(t)
		u, err := url.Parse(pg.DSN())
		if err != nil {
			t.Fatal(err)
		}
		if pg.Exec(t.Context(), pg.DSN(), "create role "+user+" login password "+literal(password)) != nil {
			pg.MustExec(t, pg.DSN(), "alter role "+user+" password "+literal(password))
		} else {
			t.Cleanup(func() { pg.MustExec(t, pg.DSN(), "drop role "+user) })
		}
		return u.Hostname(), u.Port(), "postgres"
	}, map[string]dsnForm{
		"URL": asURL("postgres", "sslmode=disable"),
		"list": func(host, port, user, password, database string) string {
			return fmt.Sprintf("host=%s port=%s user=%s password='%s' dbname=%s sslmode=disable", host, port, user, quote(password), database)
		},
	})
	logins("mysql", func(t *testing.T, password string) (host, port, database string) {
		m := testdb.MariaDB(t)
		m.MustExec(t, m.DSN(), "create or replace user "+user+"@'%' identified by '"+quote(password)+"'")
		t.Cleanup(func() { m.MustExec(t, m.DSN(), "drop user if exists "+user+"@'%'") })
		host, port, _ = strings.Cut(m.Config().Addr, ":")
		return host, port, ""
	}, map[string]dsnForm{
		"URL": asURL("mysql", ""),
		"the driver's": func(host, port, user, password, database string) string {
			return user + ":" + password + "@tcp(" + host + ":" + port + ")/" + database
		},
	})
	// The driver cannot send these; nobody shall look for the mistake elsewhere.
	for _, dsn := range []string{"sqlserver://me:s3cr3t%F0%9F%98%80@127.0.0.1:1", "server=127.0.0.1;user id=me;password=s3cr3t😀", "odbc:server=127.0.0.1;user id=me;password={s3cr3t😀}"} {
		err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: query})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "the password has a character beyond U+FFFF") || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("the error is %v", err)
		}
	}
	logins("sqlserver", func(t *testing.T, password string) (host, port, database string) {
		s, err := minitds.Start(minitds.Config{User: user, Password: password}, minitds.Script{"select 1 as n": {Columns: anInt, Rows: [][]any{{1}}}}.Handler())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		host, port, _ = strings.Cut(s.Addr(), ":")
		return host, port, "branch"
	}, map[string]dsnForm{
		"URL": func(host, port, user, password, database string) string {
			return asURL("sqlserver", "encrypt=disable&database="+database)(host, port, user, password, "")
		},
		"ADO": func(host, port, user, password, database string) string {
			return fmt.Sprintf(`server=%s,%s;user id=%s;password="%s";database=%s;encrypt=disable`, host, port, user, strings.ReplaceAll(password, `"`, `""`), database)
		},
		"ODBC": func(host, port, user, password, database string) string {
			return fmt.Sprintf("odbc:server=%s;port=%s;user id=%s;password={%s};database=%s;encrypt=disable", host, port, user, strings.ReplaceAll(password, "}", "}}"), database)
		},
	})
}
