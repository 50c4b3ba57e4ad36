package config_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/pipeline"
	"fanmill/sinks"
)

// atPassword is an error of an address's password.
type atPassword struct{ error }

func (atPassword) Key() string { return "password" }

// ledger is a kind of database that nothing but this test knows. Its DSNs are no URLs.
func ledger() *pipeline.DatabaseKind {
	return &pipeline.DatabaseKind{
		Name: "ledger", Aliases: []string{"tally"}, Label: "Ledger", Port: 7000, Instances: true, WithoutUser: "Without it, Ledger takes a guest.",
		Example: pipeline.Address{Server: "ledger.example", Instance: "books", User: "app", Password: "${PASSWORD}", Options: []pipeline.AddressOption{{Name: "year", Value: "2026"}}},
		Split: func(a *pipeline.Address) error {
			a.Server = strings.TrimPrefix(a.Server, "ledger:")
			if strings.HasPrefix(a.Password, "0") {
				return atPassword{error: errors.New("begins with a zero")}
			}
			return nil
		},
		DSN: func(a *pipeline.Address, escape func(string) string) string {
			dsn := a.Server + "!" + a.Instance + "!" + escape(a.User) + "!" + escape(a.Password)
			for _, o := range a.Options {
				dsn += "!" + o.Name + "=" + o.Value
			}
			return dsn
		},
		CheckDSN: func(dsn string) error {
			if strings.Count(dsn, "!") < 3 {
				return errors.New("a Ledger has four parts")
			}
			return nil
		},
		CheckQuery: func(sql string) error {
			if strings.Contains(sql, "bad") {
				return errors.New("bad is no word of Ledger's")
			}
			return nil
		},
		Passwords: func(dsn string) []string {
			if parts := strings.Split(dsn, "!"); len(parts) > 3 {
				return parts[3:4]
			}
			return nil
		},
		Inline: &pipeline.InlineBounds{Options: []string{"year"}, Added: []pipeline.AddressOption{{Name: "guest", Value: "no"}},
			CheckQuery: func(sql string) error {
				if !strings.HasPrefix(sql, "read") {
					return errors.New("reads nothing")
				}
				return nil
			}},
	}
}

// sheaf is a kind whose databases are files, and which no job in a message may read.
func sheaf() *pipeline.DatabaseKind {
	return &pipeline.DatabaseKind{Name: "sheaf", Label: "Sheaf", File: true, Example: pipeline.Address{Database: "D:/a.sheaf"}}
}

// foreign are the options of a program with databases of other kinds than ours.
func foreign() config.Options {
	o := options(map[string]string{"PW": "p w"})
	kind := ledger()
	o.Databases = map[string]*pipeline.DatabaseKind{"ledger": kind, "tally": kind, "sheaf": sheaf()}
	return o
}

func parseForeign(o config.Options, connection string) (*config.File, string) {
	f, err := config.Parse("j.json", []byte(`{"id": "j", "query": "read all", "connections": [`+connection+`], "destinations": [{"type": "csv", "filePath": "a.csv"}]}`), o)
	if err != nil {
		return nil, err.Error()
	}
	return f, ""
}

// A new kind of database needs its registration and nothing else: names, addresses, checks and passwords are its own.
func TestForeignDatabase(t *testing.T) {
	o := foreign()
	for connection, want := range map[string]string{
		`{"id": "c", "driver": "ledger", "dsn": "h!i!u!${PW}"}`:                                                                  "h!i!u!${PW}",
		`{"id": "c", "driver": "tally", "server": "ledger:h\\i", "user": "a b", "password": "${PW}", "options": {"year": 2026}}`: "h!i!a%20b!${PW|url}!year=2026",
		`{"id": "c", "driver": "sheaf", "database": "b.sheaf"}`:                                                                  "b.sheaf",
	} {
		f, problems := parseForeign(o, connection)
		if problems != "" {
			t.Errorf("%s: %s", connection, problems)
		} else if got := f.Job.Connections[0].DSN; got != want {
			t.Errorf("%s: the DSN is %q, want %q", connection, got, want)
		} else if ids := config.SecretLiterals(&f.Job, o.Databases); len(ids) != 0 {
			t.Errorf("%s: taken for a password in clear", connection)
		}
	}
	for connection, want := range map[string]string{
		`{"id": "c", "driver": "ledgre", "dsn": "x"}`:                     `connections[0].driver: "ledgre" is not a database fanmill knows; did you mean "ledger"?`,
		`{"id": "c", "driver": "ledger", "dsn": "x"}`:                     "connections[0].dsn: a Ledger has four parts",
		`{"id": "c", "driver": "ledger", "server": "h", "password": "0"}`: "connections[0].password: begins with a zero",
		`{"id": "c", "driver": "ledger", "server": "h", "query": "bad"}`:  "connections[0].query: bad is no word of Ledger's",
		`{"id": "c", "driver": "sheaf", "server": "h"}`:                   `connections[0].server: a Sheaf database is a file; give its path as "database", alone`,
		`{"id": "c", "dsn": "x"}`:                                         `connections[0].driver: is missing; add "driver": "ledger" or "sheaf"`,
		`{"id": "c", "driver": "postgres", "dsn": "postgres://u@h/d"}`:    `"postgres" is not a database fanmill knows; it knows ledger, sheaf, tally`,
	} {
		if _, problems := parseForeign(o, connection); !strings.Contains(problems, want) {
			t.Errorf("%s: got %q, want %q", connection, problems, want)
		}
	}
	clear := pipeline.Job{Connections: []pipeline.Connection{{ID: "c", Driver: "ledger", DSN: "h!i!u!s3cr3t"}}}
	if ids := config.SecretLiterals(&clear, o.Databases); len(ids) != 1 {
		t.Error("a password in clear is not found")
	}
}

// The schema has what the kinds say of themselves.
func TestForeignDatabaseInSchema(t *testing.T) {
	type entry struct {
		Enum        []string
		Description string
		Examples    []any
	}
	var schema struct {
		Defs map[string]struct{ Properties map[string]entry } `json:"$defs"`
	}
	if err := json.Unmarshal(config.Schema(foreign().Databases, sinks.Kinds(), nil), &schema); err != nil {
		t.Fatal(err)
	}
	got := schema.Defs["connection"].Properties
	for key, want := range map[string]entry{
		"driver":   {Enum: []string{"ledger", "sheaf", "tally"}, Description: "The kind of database.", Examples: nil},
		"dsn":      {Enum: nil, Description: got["dsn"].Description, Examples: []any{"${BRANCH_001_DSN}", "ledger.example!books!app!${PASSWORD|url}!year=2026", "D:/a.sheaf"}},
		"server":   {Enum: nil, Description: got["server"].Description, Examples: []any{"ledger.example"}},
		"port":     {Enum: nil, Description: got["port"].Description, Examples: []any{7000.0}},
		"instance": {Enum: nil, Description: "The named instance of a server (Ledger).", Examples: []any{"books"}},
		"database": {Enum: nil, Description: "The database; for Sheaf, the path of its file. May refer to ${VARIABLES}.", Examples: []any{"D:/a.sheaf"}},
		"user":     {Enum: nil, Description: "The login. Without it, Ledger takes a guest.", Examples: []any{"reporting"}},
		"options":  {Enum: nil, Description: got["options"].Description, Examples: []any{map[string]any{"year": "2026"}}},
	} {
		if !reflect.DeepEqual(got[key], want) {
			t.Errorf("%s: %+v, want %+v", key, got[key], want)
		}
	}
	if got := schema.Defs["inventory"].Properties["driver"].Examples; !reflect.DeepEqual(got, []any{"ledger", "sheaf"}) {
		t.Errorf("an inventory's driver has the examples %v", got)
	}
}

// What a job in a message may do with a database is its kind's to say.
func TestForeignDatabaseInline(t *testing.T) {
	_, o := boundWorld(t)
	at := func(more object) object { return server("ledger", "db.example", more) }
	inline := func(connection object, sql string) (*config.File, string) {
		t.Helper()
		return parseBoundWith(t, o, foreign().Databases, connection, "a.csv", sql, nil)
	}
	f, problems := inline(at(object{"options": object{"Year": "2026"}}), "read all")
	if problems != "" {
		t.Fatal(problems)
	}
	if got := f.Job.Connections[0].DSN; got != "db.example!!u!p!Year=2026!guest=no" {
		t.Errorf("the DSN is %q", got)
	}
	for _, c := range []struct {
		connection object
		sql, want  string
	}{
		{at(object{"options": object{"file": "x"}}), "read all", "it may have year"},
		{at(nil), "write all", "reads nothing"},
		{server("ledger", "other.example"), "read all", "other.example:7000 is no server"},
		{object{"driver": "sheaf", "database": "a.sheaf"}, "read all", "a job that is brought along cannot read Sheaf"},
		{object{"driver": "ledger", "dsn": "h!i!u!p"}, "read all", "user, password and options, or, for Sheaf, database"},
	} {
		if _, problems := inline(c.connection, c.sql); !strings.Contains(problems, c.want) {
			t.Errorf("%v: got %q, want %q", c.connection, problems, c.want)
		}
	}
}
