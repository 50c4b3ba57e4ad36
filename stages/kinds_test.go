package stages_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"fanmill/pipeline"
	"fanmill/stages"
)

// What a kind of database registers fits together: its example is an address that it reads itself, on the port it
// names, with a password where it looks for one.
func TestKindsFitTogether(t *testing.T) {
	kinds := stages.Kinds()
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	for name, kind := range kinds {
		if kind.Label == "" || kind.Driver == nil || kind.CheckQuery == nil || kind.Inline == nil || name != kind.Name && !slices.Contains(kind.Aliases, name) {
			t.Errorf("%s is registered as %+v", name, kind)
		}
		if kinds[kind.Name] != kind {
			t.Errorf("%s is another kind than %s", name, kind.Name)
		}
		if kind.File {
			if kind.DSN != nil || kind.Port != 0 || kind.Example.Database == "" {
				t.Errorf("%s is a file with the address of a server", name)
			}
			continue
		}
		address := kind.Example
		address.User, address.Password, address.Database, address.Options = "u", "s3 cr@t", "d e", slices.Concat(address.Options, kind.Inline.Added)
		if !kind.Instances {
			address.Instance = ""
		}
		dsn := kind.DSN(&address, escape)
		if err := kind.CheckDSN(dsn); err != nil {
			t.Errorf("%s refuses %s: %v", name, dsn, err)
		}
		if !slices.Contains(kind.Passwords(dsn), "s3%20cr%40t") {
			t.Errorf("%s finds the passwords %q in %s", name, kind.Passwords(dsn), dsn)
		}
		address.Instance, address.Port = "", 0
		dsn = kind.DSN(&address, escape)
		other := address
		other.Port = kind.Port
		if host := kind.Driver.Host(dsn); host == "" || host != kind.Driver.Host(kind.DSN(&other, escape)) {
			t.Errorf("%s: the host of %s is %q, which is not on port %d", name, dsn, host, kind.Port)
		}
		for _, o := range kind.Example.Options {
			if !slices.Contains(kind.Inline.Options, o.Name) {
				t.Errorf("%s: a job in a message may not have the option %s", name, o.Name)
			}
		}
	}
}

// A query is checked alike whatever its database is called.
func TestOtherNamesOfKinds(t *testing.T) {
	for name, other := range map[string]string{"postgres": "postgresql", "mysql": "mariadb", "sqlserver": "mssql"} {
		kinds := stages.Kinds()
		if kinds[name] != kinds[other] {
			t.Errorf("%s is another kind than %s", other, name)
		}
		if err := kinds[other].CheckQuery("select 1; select 2"); !pipeline.IsPermanent(err) {
			t.Errorf("%s takes two queries for one: %v", other, err)
		}
	}
}
