package config_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fanmill/internal/config"
	_ "fanmill/internal/sameseed"
	"fanmill/pipeline"
)

func TestExpand(t *testing.T) {
	vars := map[string]string{"USER": "meera", "PW": "p@ss/w:rd ${USER}%", "EMPTY": ""}
	lookup := func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
	cases := []struct{ in, out, err string }{
		{in: "plain", out: "plain"},
		{in: "${USER}:${PW}", out: "meera:p@ss/w:rd ${USER}%"},
		{in: "pg://${USER|url}:${PW|url}@h", out: "pg://meera:p%40ss%2Fw%3Ard%20%24%7BUSER%7D%25@h"},
		{in: "$$ $${USER} pa$word $", out: "$ ${USER} pa$word $"},
		{in: "x${EMPTY}y", out: "xy"},
		{in: "${NO} ${NO} ${NOR}", err: "${NO} is not set; set NO in the environment or in the .env file beside the job\n${NOR} is not set; set NOR in the environment or in the .env file beside the job"},
		{in: "${USER", err: "${ has no closing }; write ${NAME}, or $${ for the characters themselves"},
		{in: "${A-B}", err: "${A-B} is not the name of a variable; names are letters, digits and _"},
		{in: "${USER|quoted}", err: `${USER|quoted}: "quoted" is not a filter fanmill knows; it knows ${USER|url}`},
	}
	for _, c := range cases {
		got, err := config.Expand(c.in, lookup, ".")
		if (err == nil) != (c.err == "") || err != nil && err.Error() != c.err || got != c.out {
			t.Errorf("%s: got %q, %v; want %q, %q", c.in, got, err, c.out, c.err)
		}
	}
	var unset *config.UnsetError
	if _, err := config.Expand("${NO}", lookup, "."); !errors.As(err, &unset) || unset.Name != "NO" {
		t.Errorf("got %v, want an UnsetError for NO", err)
	}
}

// A connection written in parts needs no escaping: whatever user, password and database are, the driver gets them back.
func TestPartsNeedNoEscaping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.RuneFrom(nil, rangeOf('!', '~')), 1, 20, -1)
		user, password, database := word.Draw(t, "user"), word.Draw(t, "password"), word.Draw(t, "database")
		job := pipelineJob(t, `{"id": "c", "driver": "postgres", "server": "db.example.com", "port": 5433, "options": {"sslmode": "require", "n": 1},
			"user": "${U}", "password": "${P}", "database": `+quote(strings.ReplaceAll(database, "$", "$$"))+`}`,
			map[string]string{"U": user, "P": password})
		dsn, err := config.Expand(job.Connections[0].DSN, func(name string) (string, bool) {
			return map[string]string{"U": user, "P": password}[name], true
		}, ".")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatalf("%q: %v", dsn, err)
		}
		gotPassword, _ := u.User.Password()
		if u.Scheme != "postgres" || u.Host != "db.example.com:5433" || u.User.Username() != user || gotPassword != password ||
			u.Path != "/"+database || u.RawQuery != "sslmode=require&n=1" {
			t.Fatalf("%q came back as %+v", dsn, u)
		}
		if ids := config.SecretLiterals(job, databases()); len(ids) != 0 {
			t.Fatalf("%q taken for a literal secret", job.Connections[0].DSN)
		}
	})
}

func TestParts(t *testing.T) {
	cases := []struct{ in, want string }{
		{`"driver": "sqlite", "database": "D:/branches/001.db"`, "D:/branches/001.db"},

		{`"driver": "postgres", "server": "fe80::1", "database": "sale"`, "postgres://[fe80::1]/sale"},
		{`"driver": "postgres", "server": "${HOST}", "database": "a b"`, "postgres://${HOST}/a%20b"},
		{`"driver": "postgresql", "server": "h"`, "postgres://h"},
		{`"driver": "sqlserver", "server": "HOST\\SQLEXPRESS", "database": "sale", "user": "sa", "password": "a@b", "options": {"encrypt": "disable", "tlsmin": 1.0}`,
			"sqlserver://sa:a%40b@HOST/SQLEXPRESS?database=sale&encrypt=disable&tlsmin=1.0"},
		{`"driver": "mssql", "server": "h", "port": 1444, "database": "a/b&c"`, "sqlserver://h:1444?database=a%2Fb%26c"},
		{`"driver": "sqlserver", "server": "tcp:h,1444", "instance": "${HOST}"`, "sqlserver://h:1444/${HOST|url}"},
		{`"driver": "sqlserver", "server": "h", "options": {"app name": "x"}`, "sqlserver://h?app%20name=x"},
		{`"driver": "mysql", "server": "h", "port": "3307", "database": "d", "user": "u", "password": "${HOST}", "options": {"tls": "skip-verify"}`, "mysql://u:${HOST|url}@h:3307/d?tls=skip-verify"},
		{`"driver": "mariadb", "server": "h", "user": "u"`, "mysql://u@h/"},
	}
	for _, c := range cases {
		job := pipelineJob(t, `{"id": "c", `+c.in+`}`, map[string]string{"HOST": "h"})
		if got := job.Connections[0].DSN; got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
}

func TestPartsThatCannotBe(t *testing.T) {
	for in, want := range map[string]string{
		`"driver": "postgres", "server": "h\\X"`:                     "connections[0].instance: only SQL Server has named instances",
		`"driver": "mysql", "server": "h", "instance": "X"`:          "connections[0].instance: only SQL Server has named instances",
		`"driver": "sqlserver", "server": "h,x"`:                     `connections[0].server: "h,x" has a port that does not fit`,
		`"driver": "sqlserver", "server": "h,1433", "port": 1`:       `has a port that does not fit`,
		`"driver": "postgres", "server": "h:5432"`:                   `connections[0].server: has a colon; write the port as "port"`,
		`"driver": "postgres", "server": "postgres://h/d"`:           `connections[0].server: is a URL; write it as "dsn"`,
		`"driver": "postgres", "server": "u@h"`:                      "connections[0].server: is not the name or the address of a server",
		`"driver": "sqlite", "server": "h", "database": "d"`:         "connections[0].server: a SQLite database is a file",
		`"driver": "sqlite", "database": "d", "user": "u"`:           "connections[0].user: a SQLite database is a file",
		`"driver": "postgres", "server": "h", "port": "x"`:           "connections[0].port: must be a whole number from 1 to 65535",
		`"driver": "postgres", "server": "h", "options": {"a": [1]}`: "connections[0].options.a: must be a text, a number, true or false, not a list",
		`"driver": "postgres", "database": "d", "user": "u"`:         `connections[0].server: is missing`,
	} {
		o := options(nil)
		_, err := config.Parse("j.json", []byte(`{"query": "q", "connections": [{"id": "c", `+in+`}], "destinations": [{"type": "csv", "filePath": "a.csv"}]}`), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", in, err, want)
		}
	}
}

type fataler interface {
	Helper()
	Fatalf(string, ...any)
}

func pipelineJob(t fataler, connection string, vars map[string]string) *pipeline.Job {
	t.Helper()
	o := options(vars)
	f, err := config.Parse("j.json", []byte(`{"id": "j", "query": "q", "connections": [`+connection+`], "destinations": [{"type": "csv", "filePath": "a.csv"}]}`), o)
	if err != nil {
		t.Fatalf("%s: %v", connection, err)
	}
	return &f.Job
}

// A password is found in the spelling of every database, and a reference is never taken for one.
func TestSecretLiterals(t *testing.T) {
	literal := []string{
		"postgres://u:secret@h/db", "postgres://u:sec@ret@h/db", "postgres://u:a/b@h/db", "postgres://u:${A}b@h/db", "postgres://u:what?@h/db",
		"postgres://h/db?user=u&password=secret", "host=h user=u password=secret", "host=h password='two words'", "host=h password = x dbname=d",
		"server=h;user id=u;password=secret;", "Server=h;PWD={a;b}", "u:secret@tcp(h:3306)/db", "u:secret@/db", "sqlserver://sa:pw@h?database=x",
		"host=h sslpassword=x", "host=h password= secret", "mysql://u:pw@h:3306/d", "mariadb://u:p@ss@h/", "u:pw@unix(/tmp/mysql.sock)/d?tls=true", "u:p@s:s@(h)/d", "odbc:server=h;uid=sa;pwd={a}}b;c}",
		`server=h;user id=sa;Password="a;b";encrypt=disable`, "sqlserver://h/X?database=d&user+id=sa&password=x", "odbc:pwd={a}}};uid=u", "Server=h; Pwd = x", "sqlserver://sa:${PW}x@h", "u:${PW}x@tcp(h)/d",
		"mysql://u@h/d?password=x",
	}
	reference := []string{
		"${DSN}", "postgres://u:${PW}@h/db", "postgres://u@h/db", "postgres://h/db", "postgres://u:${PW|url}@h/db?sslmode=require", "host=h user=u password=${PW}",
		"host=h password='${PW}'", "server=h;password=${PW};database=d", "u:${PW}@tcp(h:3306)/db", "C:/data/branch.db", "file:branch.db?mode=ro",
		"host=h passfile=/etc/pgpass", "sqlserver://sa:${PW|url}@h/X?database=d", "mysql://u:${file:/run/secrets/pw|url}@h/d", "odbc:server=h;pwd={${PW}}", "server=h;password=\"${PW}\";encrypt=disable",
		"sqlserver://h?database=d&trusted_connection=yes", "u@tcp(h:3306)/d", "mysql://u@h/", "server=h;user id=sa;password=;database=d", "postgres://u:${file:pw}@h/db",
	}
	for want, dsns := range map[bool][]string{true: literal, false: reference} {
		for _, dsn := range dsns {
			ids := config.SecretLiterals(&pipeline.Job{Connections: []pipeline.Connection{{ID: "c", DSN: dsn}}}, databases())
			if got := slices.Contains(ids, "c"); got != want {
				t.Errorf("%s: literal %v, want %v", dsn, got, want)
			}
		}
	}
}
