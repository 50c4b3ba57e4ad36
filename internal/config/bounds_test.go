package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"fanmill/internal/config"
	"fanmill/pipeline"
	"fanmill/sinks"
)

type object = map[string]any

// boundWorld is a folder with what a job that is brought along may reach, and beside it what it may not.
func boundWorld(t *testing.T) (dir string, b *config.Bounds) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"root/sub", "dbs", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b, err := config.NewBounds(filepath.Join(dir, "root"), []string{filepath.Join(dir, "dbs")}, []string{"*.ok.example:5432", "db.example", "10.0.0.0/8:5432", "[fd00::1]:5432", "10.9.9.9"},
		[]string{filepath.Join(dir, "jobs")})
	if err != nil {
		t.Fatal(err)
	}
	return dir, b
}

// parseBound reads a job of one connection and one destination, and shows the problems.
func parseBound(t *testing.T, b *config.Bounds, conn object, path, sql string, more object) (*config.File, string) {
	t.Helper()
	return parseBoundWith(t, b, databases(), conn, path, sql, more)
}

func parseBoundWith(t *testing.T, b *config.Bounds, kinds map[string]*pipeline.DatabaseKind, conn object, path, sql string, more object) (*config.File, string) {
	t.Helper()
	c := object{"id": "c"}
	for k, v := range conn {
		c[k] = v
	}
	job := object{"id": "once", "query": sql, "connections": []object{c}, "destinations": []object{{"type": "csv", "filePath": path}}}
	for k, v := range more {
		job[k] = v
	}
	data, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.Parse("inline job", data, config.Options{Bounds: b, Lookup: func(string) (string, bool) { return "s3cr3t", true },
		Databases: kinds, Destinations: sinks.Kinds()})
	if err != nil {
		return nil, err.Error()
	}
	return f, ""
}

func server(driver, name string, more ...object) object {
	o := object{"driver": driver, "server": name, "user": "u", "password": "p"}
	for _, m := range more {
		for k, v := range m {
			o[k] = v
		}
	}
	return o
}

// A job that is brought along reaches the servers that are named, however a server can be spelled.
func TestBoundServers(t *testing.T) {
	dir, b := boundWorld(t)
	path := filepath.ToSlash(filepath.Join(dir, "root", "a.csv"))
	for name, c := range map[string]object{
		"name":             server("postgres", "a.ok.example"),
		"port":             server("postgres", "a.b.ok.example", object{"port": 5432}),
		"case, dot":        server("mysql", "DB.example."),
		"any port":         server("sqlserver", `db.example\inst`),
		"address":          server("postgres", "10.2.3.4"),
		"mapped address":   server("postgres", "::ffff:10.2.3.4"),
		"IPv6":             server("postgres", "fd00:0::1"),
		"harmless options": server("postgres", "10.2.3.4", object{"options": object{"SSLMode": "require"}}),
	} {
		if _, problems := parseBound(t, b, c, path, "select 1", nil); problems != "" {
			t.Errorf("%s is refused: %s", name, problems)
		}
	}
	for name, c := range map[string]object{
		"another":                 server("postgres", "evil.example"),
		"the top of a pattern":    server("postgres", "ok.example"),
		"a name that ends so":     server("postgres", "xok.example"),
		"behind an allowed name":  server("postgres", "a.ok.example.evil.example"),
		"another port":            server("postgres", "a.ok.example", object{"port": 5433}),
		"another default port":    server("mysql", "a.ok.example"),
		"an instance of any port": server("sqlserver", `a.ok.example\inst`, object{"port": 5432}),
		"a port in the name":      server("sqlserver", "tcp:a.ok.example,1433"),
		"several":                 server("postgres", "a.ok.example,evil.example"),
		"a socket":                server("postgres", "/var/run/postgresql"),
		"an abstract socket":      server("postgres", "@x"),
		"a pipe":                  server("sqlserver", `np:\\\\.\\pipe\\sql`),
		"local":                   server("sqlserver", "(local)"),
		"a dot":                   server("sqlserver", "."),
		"escapes":                 server("postgres", "a.ok.example%2cevil.example"),
		"another address":         server("postgres", "11.0.0.1"),
		"a mapped other address":  server("postgres", "::ffff:11.0.0.1"),
		"a number":                server("postgres", "167772161"),
		"hexadecimal":             server("postgres", "0x0a000001"),
		"short":                   server("postgres", "10.1"),
		"a zone":                  server("postgres", "fd00::1%eth0"),
		"host as an option":       server("postgres", "10.2.3.4", object{"options": object{"host": "evil.example"}}),
		"hostaddr":                server("postgres", "10.2.3.4", object{"options": object{"hostaddr": "11.0.0.1"}}),
		"a service file":          server("postgres", "10.2.3.4", object{"options": object{"servicefile": "/etc/x", "service": "y"}}),
		"a passfile":              server("postgres", "10.2.3.4", object{"options": object{"passfile": "/etc/x"}}),
		"a key":                   server("postgres", "10.2.3.4", object{"options": object{"sslkey": "/etc/x"}}),
		"a root certificate":      server("postgres", "10.2.3.4", object{"options": object{"sslrootcert": "/etc/x"}}),
		"all files":               server("mysql", "db.example", object{"options": object{"allowAllFiles": true}}),
		"a socket as an option":   server("mysql", "db.example", object{"options": object{"socket": "/x"}}),
		"tlsca":                   server("mysql", "db.example", object{"options": object{"tlsca": "/x"}}),
		"a failover partner":      server("sqlserver", "db.example", object{"options": object{"failoverpartner": "evil.example"}}),
		"server as an option":     server("sqlserver", "db.example", object{"options": object{"Server": "evil.example"}}),
		"a certificate":           server("sqlserver", "db.example", object{"options": object{"certificate": "/x"}}),
		"an authenticator":        server("sqlserver", "db.example", object{"options": object{"authenticator": "krb5"}}),
		"no user":                 {"driver": "sqlserver", "server": "db.example"},
		"no password":             {"driver": "postgres", "server": "10.2.3.4", "user": "u"},
		"a dsn":                   {"driver": "postgres", "dsn": "postgres://u:p@10.2.3.4/x"},
		"a dsn beside parts":      server("postgres", "10.2.3.4", object{"dsn": "postgres://u:p@11.0.0.1/x"}),
		"a server without a name": {"driver": "postgres", "database": "x", "user": "u"},
		"a database for a server": {"driver": "postgres", "database": "postgres://u:p@11.0.0.1/x"},
		"a password of variables": server("postgres", "10.2.3.4", object{"password": "${X}"}),
		"a password of files":     server("postgres", "10.2.3.4", object{"password": "${file:/etc/passwd}"}),
		"options of variables":    server("postgres", "10.2.3.4", object{"options": object{"sslmode": "${X}"}}),
		"a user that ends so":     server("postgres", "10.2.3.4", object{"user": "$$${X|url}"}),
	} {
		if _, problems := parseBound(t, b, c, path, "select 1", nil); problems == "" || strings.Contains(problems, "s3cr3t") {
			t.Errorf("%s is taken: %s", name, problems)
		}
	}
}

// It writes below one folder, and reads SQLite files below others, wherever a path leads.
func TestBoundFiles(t *testing.T) {
	dir, b := boundWorld(t)
	at := func(parts ...string) string {
		return filepath.ToSlash(filepath.Join(append([]string{dir}, parts...)...))
	}
	for _, file := range []string{"dbs/a.db", "other/b.db"} {
		if err := os.WriteFile(at(file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	links := runtime.GOOS != "windows" // which needs a privilege for them
	if links {
		for link, to := range map[string]string{"root/out": "other", "dbs/l.db": "other/b.db", "root/l.csv": "other/x.csv", "root/sub/.fanmill": "other"} {
			if err := os.Symlink(at(to), at(link)); err != nil {
				t.Fatal(err)
			}
		}
	}
	good := object{"driver": "sqlite", "database": at("dbs", "a.db")}
	for _, path := range []string{"a.csv", "new/a.csv", "{jobId}/{date}.csv", at("root", "a.csv"), "x/../a.csv", "{connection}.csv"} {
		f, problems := parseBound(t, b, good, path, "select 1", nil)
		if problems != "" {
			t.Errorf("%s is refused: %s", path, problems)
			continue
		}
		if ds, err := f.Destinations("r", time.Now()); err != nil || !strings.HasPrefix(filepath.ToSlash(ds[0].Path), at("root")+"/") {
			t.Errorf("%s is %+v, %v", path, ds, err)
		}
	}
	bad := []string{"../a.csv", "sub/../../a.csv", at("a.csv"), at("rootx", "a.csv"), at("root", "..", "a.csv"), "/etc/a.csv", "//server/share/a.csv", `\\\\server\\share\\a.csv`, ".fanmill/a.csv",
		".FANMILL/a.csv", "{jobId}/../../a.csv", "${X}.csv", "${file:/etc/passwd}", "{connection}/../../a.csv"}
	if runtime.GOOS == "windows" {
		bad = append(bad, `C:\Windows\a.csv`, `\\?\C:\a.csv`, `\\.\C:\a.csv`, "Q:/a.csv", "C:a.csv", "a.csv:stream")
	}
	if links {
		bad = append(bad, "out/a.csv", "out/new/a.csv", "l.csv", "sub/a.csv")
	}
	for _, path := range bad {
		if runtime.GOOS != "windows" && strings.HasPrefix(path, `\`) {
			continue // there it is a name
		}
		if _, problems := parseBound(t, b, good, path, "select 1", nil); problems == "" {
			t.Errorf("%s is taken", path)
		}
	}
	if left, _ := filepath.Glob(at("other", "*")); len(left) != 1 {
		t.Errorf("outside there is %v", left)
	}
	files := []string{at("other", "b.db"), at("dbs", "..", "other", "b.db"), "file:" + at("dbs", "a.db"), ":memory:", "${X}", at("dbsx", "a.db")}
	if links {
		files = append(files, at("dbs", "l.db"))
	}
	for _, file := range files {
		if _, problems := parseBound(t, b, object{"driver": "sqlite", "database": file}, "a.csv", "select 1", nil); problems == "" {
			t.Errorf("the database %s is taken", file)
		}
	}
	for _, sql := range []string{"attach 'x' as y", "/* select */ vacuum into 'x'", "-- select\nattach 'x' as y", "pragma temp_store_directory = 'x'", "explain select 1", ""} {
		if _, problems := parseBound(t, b, good, "a.csv", sql, nil); problems == "" {
			t.Errorf("the query %q is taken", sql)
		}
	}
	for _, sql := range []string{"select 1", " /* a */ -- b\n WITH x as (select 1) select * from x", "values(1)", "select '${HOME}'"} {
		if _, problems := parseBound(t, b, good, "a.csv", sql, nil); problems != "" {
			t.Errorf("the query %q is refused: %s", sql, problems)
		}
	}
}

// No text of it is replaced, and no file is read, whatever the key.
func TestBoundReferences(t *testing.T) {
	dir, b := boundWorld(t)
	if err := os.WriteFile(filepath.Join(dir, "branches.csv"), []byte("id,driver,database\na,sqlite,s3cr3t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := server("postgres", "10.2.3.4")
	for _, more := range []object{{"params": object{"x": "${X}"}}, {"name": "${X}"}, {"name": "a ${file:/etc/passwd}"}, {"timeZone": "${X"}, {"params": object{"${X}": 1}},
		{"connections": object{"file": filepath.ToSlash(filepath.Join(dir, "branches.csv"))}}} {
		if _, problems := parseBound(t, b, good, "a.csv", "select 1", more); problems == "" || strings.Contains(problems, "s3cr3t") {
			t.Errorf("%v is taken: %s", more, problems)
		}
	}
}

// Bounds that bound nothing are refused when they are made.
func TestBoundsThemselves(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root/jobs", "jobs/adhoc", "apart"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, bounds := range map[string]func() (*config.Bounds, error){
		"a root that is not there": func() (*config.Bounds, error) { return config.NewBounds(in("nowhere"), nil, nil, nil) },
		"a root over the jobs": func() (*config.Bounds, error) {
			return config.NewBounds(in("root"), nil, nil, []string{in("root/jobs")})
		},
		"a root in the jobs": func() (*config.Bounds, error) {
			return config.NewBounds(in("jobs/adhoc"), nil, nil, []string{in("jobs")})
		},
		"a root that is the jobs": func() (*config.Bounds, error) { return config.NewBounds(in("jobs"), nil, nil, []string{in("jobs")}) },
		"databases where it may write": func() (*config.Bounds, error) {
			return config.NewBounds(in("root"), []string{in("root/jobs")}, nil, nil)
		},
		"logs that are not there yet": func() (*config.Bounds, error) {
			return config.NewBounds(in("root"), nil, nil, []string{in("root/logs")})
		},
		"a host that is a URL": func() (*config.Bounds, error) {
			return config.NewBounds(in("root"), nil, []string{"postgres://x"}, nil)
		},
		"a host with a port of letters": func() (*config.Bounds, error) { return config.NewBounds(in("root"), nil, []string{"x:y"}, nil) },
		"a star inside":                 func() (*config.Bounds, error) { return config.NewBounds(in("root"), nil, []string{"a.*.b"}, nil) },
		"an empty host":                 func() (*config.Bounds, error) { return config.NewBounds(in("root"), nil, []string{""}, nil) },
	} {
		if _, err := bounds(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := config.NewBounds(in("root"), nil, []string{"*", "*:5432", "a-b.example", "10.0.0.1", "fd00::/8"}, []string{in("apart")}); err != nil {
		t.Error(err)
	}
}
