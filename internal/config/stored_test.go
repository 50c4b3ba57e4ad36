package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/config"
	"fanmill/sinks"
	"fanmill/stages"
)

func storeOptions() config.Options {
	return config.Options{Databases: stages.Kinds(), Destinations: sinks.Kinds()}
}

// forStore reads a job of these parts as what puts it into the store.
func forStore(t *testing.T, name, text string, beside map[string]string) (*config.File, error) {
	t.Helper()
	dir := t.TempDir()
	for file, text := range beside {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, _, err := config.ReadForStore(path, storeOptions())
	return file, err
}

const storeJob = `{"id": "gst", "connections": [%s], "query": %s, "destinations": [%s]}`

// Whatever looks like a secret is refused with its place and what to write instead, and is itself in no message; what
// only looks a little like one is not.
func TestSecretsAreNotPut(t *testing.T) {
	const (
		conn  = `{"id": "conn_1", "driver": "sqlite", "dsn": "a.db"}`
		query = `"select 1"`
		dest  = `{"type": "csv", "filePath": "out.csv"}`
		hook  = `{"type": "webhook", "url": "https://example.com/in", %s}`
	)
	const secret = "hunter2hunter2"
	for _, c := range []struct{ where, conn, query, dest, at, instead string }{
		{"a URL", `{"id": "conn_1", "driver": "postgres", "dsn": "postgres://sa:hunter2hunter2@db/gst"}`, query, dest, "connections[0].dsn", "${CONN_1_PASSWORD}"},
		{"a URL in part", `{"id": "conn_1", "driver": "postgres", "dsn": "postgres://sa:hunter2hunter2${X}@db/gst"}`, query, dest, "connections[0].dsn", "${CONN_1_PASSWORD}"},
		{"an ADO string", `{"id": "conn_1", "driver": "sqlserver", "dsn": "Server=db;User Id=sa;Password=hunter2hunter2;Database=gst"}`, query, dest, "connections[0].dsn", "${CONN_1_PASSWORD}"},
		{"an ODBC string", `{"id": "conn_1", "driver": "sqlserver", "dsn": "odbc:Server=db;UID=sa;PWD={hunter2hunter2};Database=gst"}`, query, dest, "connections[0]", "${CONN_1_PASSWORD}"},
		{"MySQL's own", `{"id": "conn_1", "driver": "mysql", "dsn": "root:hunter2hunter2@tcp(db:3306)/gst"}`, query, dest, "connections[0]", "${CONN_1_PASSWORD}"},
		{"a part", `{"id": "conn_1", "driver": "postgres", "server": "db", "database": "gst", "user": "sa", "password": "hunter2hunter2"}`, query, dest, "connections[0].password", "${CONN_1_PASSWORD}"},
		{"an option", `{"id": "conn_1", "driver": "postgres", "server": "db", "database": "gst", "user": "sa", "options": {"sslpassword": "hunter2hunter2"}}`, query, dest, "connections[0].options.sslpassword", "${CONN_1_SSLPASSWORD}"},
		{"a query", conn, `"select * from openrowset('MSOLEDBSQL', 'Server=x;Uid=sa;Pwd=hunter2hunter2', 'select 1')"`, dest, "query", "a query has no variables"},
		{"a comparison", conn, `"select * from users where password = 'hunter2hunter2'"`, dest, "query", "a query has no variables"},
		{"a foreign login", conn, `"select * from dblink('host=x user=sa password=hunter2hunter2', 'select 1') as t(a int)"`, dest, "query", "a query has no variables"},
		{"a header", conn, query, fmt.Sprintf(hook, `"headers": {"X-Api-Key": "hunter2hunter2"}`), "destinations[0].headers.X-Api-Key", "${GST_X_API_KEY}"},
		{"a bearer in a header", conn, query, fmt.Sprintf(hook, `"headers": {"X-Forwarded-Auth": "Bearer hunter2hunter2"}`), "destinations[0].headers.X-Forwarded-Auth", "${GST_X_FORWARDED_AUTH}"},
		{"auth", conn, query, fmt.Sprintf(hook, `"auth": {"bearer": "hunter2hunter2"}`), "destinations[0].auth.bearer", "${NAME}"},
		{"a URL's query", conn, query, `{"id": "hook", "type": "webhook", "url": "https://example.com/in?sig=hunter2hunter2"}`, "destinations[0].url", "${HOOK_URL}"},
		{"a URL's user", conn, query, `{"id": "hook", "type": "webhook", "url": "https://sa:hunter2hunter2@example.com/in"}`, "destinations[0].url", "${HOOK_URL}"},
	} {
		_, err := forStore(t, "gst.json", fmt.Sprintf(storeJob, c.conn, c.query, c.dest), nil)
		if err == nil {
			t.Errorf("%s: it is taken", c.where)
			continue
		}
		if got := err.Error(); !strings.Contains(got, c.at+": ") || !strings.Contains(got, c.instead) || strings.Contains(got, secret) {
			t.Errorf("%s: it says\n%s", c.where, got)
		}
	}
	for _, c := range []struct{ where, conn, query, dest string }{
		{"references", `{"id": "conn_1", "driver": "postgres", "dsn": "postgres://sa:${PW|url}@db/gst"}`, query, fmt.Sprintf(hook, `"headers": {"Authorization": "Bearer ${T}", "X-Tenant": "north"}`)},
		{"a reference in auth", conn, query, fmt.Sprintf(hook, `"auth": {"bearer": "${T}"}`)},
		{"a whole address", `{"id": "conn_1", "driver": "sqlserver", "dsn": "${GST_DSN}"}`, query, dest},
		{"a reference in ADO", `{"id": "conn_1", "driver": "sqlserver", "dsn": "Server=db;User Id=sa;Password=${PW};Database=gst"}`, query, dest},
		{"a secret's file", `{"id": "conn_1", "driver": "postgres", "server": "db", "database": "gst", "user": "sa", "password": "${file:pw.txt}"}`, query, dest},
		{"columns", conn, `"select password, token, u.pwd from users u join old o on o.password = u.password where o.token = 'sale' and note like '%secret%'"`, dest},
		{"bound", conn, `"select * from users where id = 7 -- password: see the wiki"`, dest},
		{"where a token comes from", conn, query, fmt.Sprintf(hook, `"auth": {"oauth2": {"tokenUrl": "https://login.example.com/token", "clientId": "fanmill", "clientSecret": "${S}"}}`)},
	} {
		if _, err := forStore(t, "gst.json", fmt.Sprintf(storeJob, c.conn, c.query, c.dest), nil); err != nil {
			t.Errorf("%s: it is refused:\n%v", c.where, err)
		}
	}
}

// The same of what stands beside the job's values: comments and the inventory.
func TestSecretsBesideTheJob(t *testing.T) {
	yaml := "# old login: sa / Password=hunter2hunter2\nid: gst\nconnections: {file: branches.csv, driver: postgres, dsn: 'postgres://{user}:{pw}@{server}/gst'}\nquery: select 1\ndestinations: [{type: csv, filePath: out.csv}]\n"
	_, err := forStore(t, "gst.yaml", yaml, map[string]string{"branches.csv": "id,server,user,pw\nconn_1,db,sa,hunter2hunter2\nconn_2,db,sa,${PW}\n"})
	if err == nil {
		t.Fatal("it is taken")
	}
	got := err.Error()
	for _, want := range []string{"gst.yaml:1:1: the comment has", "branches.csv:2:14: pw of conn_1: looks like a secret", "${CONN_1_PW}"} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") || strings.Count(got, "\n") != 1 {
		t.Errorf("it says\n%s", got)
	}
}

// A job of the store needs nothing of the folder that it was put from: its inventory came along, and what it refers to
// is looked up in the folder of whoever runs it. What is put from one system is for another.
func TestJobOfTheStore(t *testing.T) {
	yaml := "connections: {file: lists/branches.csv, driver: postgres, user: sa, password: '${file:pw.txt}'}\nquery: select 1\n" +
		"destinations: [{type: csv, filePath: 'D:/Reports/{jobName}.csv'}, {type: jsonl, filePath: '${OUT}/gst.jsonl'}]\n"
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lists"), 0o700); err != nil {
		t.Fatal(err)
	}
	list := "\ufeffid;server;database\r\nconn_1;db;gst\r\nconn_2;${HOST};gst\r\n"
	for name, text := range map[string]string{"gst.yaml": yaml, filepath.Join("lists", "branches.csv"): list} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, text, err := config.ReadForStore(filepath.Join(dir, "gst.yaml"), storeOptions())
	if err != nil {
		t.Fatal(err)
	}
	if inv := file.Inventory(); string(text) != yaml || inv == nil || inv.File != "lists/branches.csv" || string(inv.Text) != list || len(file.Warnings) > 0 {
		t.Fatalf("the inventory is %+v; warnings: %v", inv, file.Warnings)
	}
	stored := config.Stored{Job: "gst", Name: "gst.yaml", Text: text, Inventory: file.Inventory()}
	root := t.TempDir()
	o := storeOptions()
	o.Lookup = func(string) (string, bool) { return "", false }
	if _, err := config.LoadStored(stored, root, o); err == nil || !strings.Contains(err.Error(), "pw.txt") || !strings.Contains(err.Error(), "${HOST} is not set") {
		t.Errorf("without its values it says %v", err)
	} else if inputs := config.Inputs(err); len(inputs) != 1 || inputs[0] != filepath.Join(root, ".env") {
		t.Errorf("it was read from %v", inputs)
	}
	for name, text := range map[string]string{".env": "HOST=db2\nOUT=" + filepath.ToSlash(root) + "\n", "pw.txt": "x y\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := config.LoadStored(stored, root, o)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Path != "store:gst" || loaded.Job.ID != "gst" || len(loaded.Job.Connections) != 2 {
		t.Errorf("it is %s, %+v", loaded.Path, loaded.Job)
	}
	if dsn, err := loaded.Expand(loaded.Job.Connections[1].DSN); err != nil || !strings.Contains(dsn, "sa:x%20y@db2") {
		t.Errorf("the address is %q, %v", dsn, err)
	}
	stored.Inventory = nil
	if _, err := config.CheckStored(stored, storeOptions()); err == nil {
		t.Error("it is good without its inventory")
	}
}

// A path in which a variable stands cannot be taken along.
func TestInventoryByReference(t *testing.T) {
	_, err := forStore(t, "gst.yaml", "id: gst\nconnections: {file: '${LIST}', driver: sqlite}\nquery: select 1\ndestinations: [{type: csv, filePath: out.csv}]\n", nil)
	if err == nil || !strings.Contains(err.Error(), "connections.file: has a reference") {
		t.Errorf("it says %v", err)
	}
}
