package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/minitds"
	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/stages"
)

// call runs fanmill in this process and returns its exit code and what it printed.
func call(args ...string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	code = Main(args, &out, &problems)
	return code, out.String(), problems.String()
}

// object is a JSON object of a job file.
type object = map[string]any

// writeJob writes a job file, into a folder of its own if path is "", and returns its path.
func writeJob(t *testing.T, path string, job object) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "job.json")
	}
	data, err := json.MarshalIndent(job, "", "  ")
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// sqliteDB makes a database and returns its path, as a job names it.
func sqliteDB(t *testing.T, statements string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "branch.db")
	changeDB(t, path, statements)
	return filepath.ToSlash(path)
}

func changeDB(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.FromSlash(path))
	if err == nil {
		_, err = db.Exec(statements)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// csvTo is a CSV destination in a folder.
func csvTo(dir, name string, more object) object {
	d := object{"type": "csv", "filePath": filepath.ToSlash(filepath.Join(dir, name))}
	maps.Copy(d, more)
	return d
}

// checked is what fanmill check --json prints.
type checked struct {
	OnDrift     string
	Reachable   int
	Failing     int
	Differing   int
	Warnings    []string
	Connections []struct {
		ID             string
		Reachable      bool
		Server         string
		Missing, Extra []string
		Retyped        []struct{ Column, Type, Usual, Becomes string }
		Warnings       []string
		Error, Effect  string
	}
}

// checkJSON checks a job and looks at the exit code.
func checkJSON(t *testing.T, want int, args ...string) (v checked) {
	t.Helper()
	code, out, problems := call(append([]string{"check", "--json"}, args...)...)
	if code != want {
		t.Fatalf("exit code %d, want %d: %s%s", code, want, out, problems)
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return v
}

// The check names every branch that is not as the others, and only those: of 56, one that refuses the connection, one
// the login, one that lacks the table, and three whose columns differ, each with what becomes of it. Passwords are in
// none of it.
func TestCheckNamesTheBranchesThatDiffer(t *testing.T) {
	const table = "create table sale (id integer, day date, amount decimal(14,2), note text)"
	good := sqliteDB(t, table)
	pg := testdb.Postgres(t)
	wrong := wrongPassword(t, pg.DSN())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "postgres://app:hidden-word@" + l.Addr().String() + "/sale?sslmode=disable"
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	odd := map[int]object{
		7:  {"driver": "postgres", "dsn": refused},
		19: {"driver": "postgres", "dsn": wrong},
		23: {"dsn": sqliteDB(t, "create table sales (id integer)")},
		31: {"dsn": sqliteDB(t, "create table sale (id integer, day date, amount decimal(14,2))")},
		42: {"dsn": sqliteDB(t, table[:len(table)-1]+", discount decimal(6,2))")},
		56: {"dsn": sqliteDB(t, "create table sale (id integer, day date, amount text, note text)")},
	}
	var connections []object
	for i := 1; i <= 56; i++ {
		c := object{"id": fmt.Sprintf("conn_%d", i), "name": fmt.Sprintf("Branch_%03d", i), "driver": "sqlite", "dsn": good}
		maps.Copy(c, odd[i])
		connections = append(connections, c)
	}
	job := writeJob(t, "", object{"id": "gst", "query": "select * from sale", "connections": connections,
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})

	v := checkJSON(t, exitPartial, job)
	if v.OnDrift != pipeline.DriftUnion || v.Reachable != 54 || v.Failing != 3 || v.Differing != 3 || len(v.Connections) != 56 {
		t.Errorf("it counts %d connections, %d reachable, %d failing, %d differing, onDrift %q", len(v.Connections), v.Reachable, v.Failing, v.Differing, v.OnDrift)
	}
	for i, c := range v.Connections {
		if odd[i+1] == nil && (!c.Reachable || c.Error != "" || c.Effect != "" || !strings.HasPrefix(c.Server, "SQLite ")) {
			t.Errorf("%s is as the others, and it says %+v", c.ID, c)
		}
	}
	for i, want := range map[int]string{7: "refused", 19: "SQLSTATE 28P01", 23: "no such table: sale"} {
		if c := v.Connections[i-1]; c.Reachable != (i == 23) || !strings.Contains(c.Error, want) { // the 23rd lets us in
			t.Errorf("of %s it says %+v, want %q", c.ID, c, want)
		}
	}
	if c := v.Connections[30]; !slices.Equal(c.Missing, []string{"note"}) || len(c.Extra)+len(c.Retyped) > 0 || c.Effect != "note would be NULL here" {
		t.Errorf("of the branch without a note it says %+v", c)
	}
	if c := v.Connections[41]; !slices.Equal(c.Extra, []string{"discount"}) || len(c.Missing)+len(c.Retyped) > 0 || c.Effect != "discount would be added, NULL elsewhere" {
		t.Errorf("of the branch with a discount it says %+v", c)
	}
	if c := v.Connections[55]; len(c.Retyped) != 1 || len(c.Missing)+len(c.Extra) > 0 || c.Effect != "amount would be text for all" ||
		c.Retyped[0].Column != "amount" || c.Retyped[0].Type != "text" || c.Retyped[0].Usual != "decimal(14,2)" {
		t.Errorf("of the branch with another amount it says %+v", c)
	}

	code, out, problems := call("check", job)
	if code != exitPartial {
		t.Errorf("exit code %d of the table, want %d", code, exitPartial)
	}
	for _, want := range []string{"Branch_007", "Branch_019", "Branch_023", "no such table: sale", "lacks note", "has discount besides",
		"amount is text, elsewhere decimal(14,2)", "onDrift union: ", "54 of 56 connections reachable", "1 whose query fails", "3 with other columns"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table does not say %q:\n%s", want, out)
		}
	}
	for _, secret := range []string{"hidden-word", password(t, wrong)} {
		if strings.Contains(out+problems, secret) {
			t.Errorf("a password is in what it says:\n%s%s", out, problems)
		}
	}

	// Asked for some, it checks those, and if these are well all is well.
	if v := checkJSON(t, exitComplete, job, "--connections", "conn_1,conn_31"); len(v.Connections) != 2 || v.Reachable != 2 {
		t.Errorf("of two connections it says %+v", v)
	}
	if code, _, problems := call("check", job, "--connections", "conn_99"); code != exitBadJob || !strings.Contains(problems, "conn_99") {
		t.Errorf("of an unknown connection it says, with exit code %d: %s", code, problems)
	}
}

// crowd counts the sessions being opened or open at a time, and lets none go on before so many are there.
type crowd struct {
	mu        sync.Mutex
	now, most int
	expected  int
	there     chan struct{} // closed once they are
}

func newCrowd(expected int) *crowd { return &crowd{expected: expected, there: make(chan struct{})} }

func (c *crowd) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.most = max(c.most, c.now)
	if c.most == c.expected && c.now == c.expected {
		select {
		case <-c.there:
		default:
			close(c.there)
		}
	}
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
}

// crowded are the real databases, whose sessions wait for a crowd.
func crowded(t *testing.T, c *crowd) {
	t.Helper()
	databaseKinds = func() map[string]*pipeline.DatabaseKind {
		return withDriver(func(d pipeline.Driver) pipeline.Driver { return crowdedDriver{d, c} })
	}
	t.Cleanup(func() { databaseKinds = stages.Kinds })
}

type crowdedDriver struct {
	pipeline.Driver
	crowd *crowd
}

func (d crowdedDriver) Open(ctx context.Context, r pipeline.Request) (pipeline.Session, error) {
	d.crowd.enter()
	s, err := d.Driver.Open(ctx, r)
	if err == nil {
		select {
		case <-d.crowd.there:
			return &crowdedSession{s, d.crowd}, nil
		case <-ctx.Done():
			err = errors.Join(context.Cause(ctx), s.Close())
		}
	}
	d.crowd.leave()
	return nil, err
}

type crowdedSession struct {
	pipeline.Session
	crowd *crowd
}

func (s *crowdedSession) Close() error {
	s.crowd.leave()
	return s.Session.Close()
}

// The check takes about as long as its slowest branch, because it waits for all at once: 56 sessions are open
// together before the first is answered.
func TestCheckAsksAllBranchesAtOnce(t *testing.T) {
	db := sqliteDB(t, "create table sale (id integer)")
	var connections []object
	for i := range 56 {
		connections = append(connections, object{"id": fmt.Sprintf("conn_%d", i+1), "driver": "sqlite", "dsn": db})
	}
	job := writeJob(t, "", object{"id": "gst", "query": "select * from sale", "connections": connections,
		"destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})
	c := newCrowd(56)
	crowded(t, c)
	if v := checkJSON(t, exitComplete, job, "--query-timeout", "20s"); v.Reachable != 56 || c.most != 56 || c.now != 0 {
		t.Errorf("%d of 56 were reachable, %d sessions open at a time, %d left open", v.Reachable, c.most, c.now)
	}
}

// What a branch would say only at night, a right that is missing or a value that a column does not take, it says to
// the check.
func TestCheckFindsMissingRights(t *testing.T) {
	dsn := testdb.Postgres(t).NewDatabase(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	role := "reader_of_" + strings.TrimPrefix(u.Path, "/") // of the whole server
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err == nil {
		_, err = conn.Exec(t.Context(), "create table sale (id int); create role "+role+" login password 's3cr3t'").ReadAll()
		err = errors.Join(err, conn.Close(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "s3cr3t")
	job := writeJob(t, "", object{"id": "gst", "query": "select id from sale where id <= :most", "params": object{"most": "5"}, "destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)},
		"connections": []object{{"id": "owner", "driver": "postgres", "dsn": dsn}, {"id": "reader", "driver": "postgres", "dsn": u.String()}}})
	v := checkJSON(t, exitPartial, job)
	if c := v.Connections[1]; v.Failing != 1 || v.Reachable != 2 || !c.Reachable || !strings.Contains(c.Error, "permission denied for table sale") {
		t.Errorf("the check says %+v", v)
	}
	// The column takes a text as long as it is a number.
	if v := checkJSON(t, exitPartial, job, "--param", "most=many", "--connections", "owner"); v.Failing != 1 || !strings.Contains(v.Connections[0].Error, `invalid input syntax for type integer: "many"`) {
		t.Errorf("of a param that does not fit it says %+v", v)
	}
}

// A server that several branches share is spared by the check as it is by the run: parallelPerHost sessions at a
// time, and no fewer.
func TestCheckSparesSharedServers(t *testing.T) {
	dsn := testdb.Postgres(t).NewDatabase(t)
	var connections []object
	for i := range 9 {
		connections = append(connections, object{"id": fmt.Sprintf("conn_%d", i+1), "driver": "postgres", "dsn": dsn})
	}
	job := object{"id": "gst", "query": "select 1 as id", "connections": connections, "destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}}
	for limit, perHost := range map[int]any{pipeline.DefaultParallelPerHost: nil, 5: 5} {
		if perHost != nil {
			job["parallelPerHost"] = perHost
		}
		c := newCrowd(limit)
		crowded(t, c)
		if v := checkJSON(t, exitComplete, writeJob(t, "", job), "--query-timeout", "20s"); v.Reachable != 9 || c.most != limit {
			t.Errorf("parallelPerHost %v: %d of 9 reachable, %d sessions open at a time, want %d", perHost, v.Reachable, c.most, limit)
		}
		delete(job, "parallelPerHost")
	}
}

// What the check says of onDrift is what the run does, and its exit code tells a script so.
func TestCheckSaysWhatTheRunDoes(t *testing.T) {
	t.Parallel()
	same := "create table sale (id integer, amount integer); insert into sale values (1, 10)"
	a, b := sqliteDB(t, same), sqliteDB(t, same)
	other := sqliteDB(t, "create table sale (id integer, amount integer, note text); insert into sale values (3, 30, 'x')")
	for _, c := range []struct {
		onDrift, effect string
		check, run      int
		file            string // "" if there is none
	}{
		{pipeline.DriftUnion, "note would be added, NULL elsewhere", exitComplete, exitComplete, "id,amount,note\r\n1,10,\r\n1,10,\r\n3,30,x\r\n"},
		{pipeline.DriftFail, "the run would end before anything is written", exitPartial, exitFailed, ""},
		{pipeline.DriftSkip, "the connection would be left out, and named", exitPartial, exitPartial, "id,amount\r\n1,10\r\n1,10\r\n"},
	} {
		t.Run(c.onDrift, func(t *testing.T) {
			w := &world{t: t, dir: t.TempDir()}
			w.args = []string{"--data", filepath.Join(w.dir, "data"), "--parallel", "1", "--log-max-mb", "4"}
			writeJob(t, w.job(), object{"id": "gst", "query": "select * from sale", "onDrift": c.onDrift, "connections": []object{
				{"id": "a", "driver": "sqlite", "dsn": a}, {"id": "b", "driver": "sqlite", "dsn": b}, {"id": "other", "driver": "sqlite", "dsn": other}},
				"destinations": []object{csvTo(w.dir, "gst.csv", nil)}})
			v := checkJSON(t, c.check, w.job())
			if got := v.Connections[2]; v.OnDrift != c.onDrift || got.Effect != c.effect || v.Differing != 1 {
				t.Errorf("the check says %+v", got)
			}
			out := w.mustRun(c.run, nil)
			text, err := os.ReadFile(filepath.Join(w.dir, "gst.csv"))
			switch {
			case c.file == "" && !errors.Is(err, os.ErrNotExist):
				t.Errorf("the file is there: %q, %v", text, err)
			case c.file == "" && !strings.Contains(out, "onDrift: fail; nothing was written") || !strings.Contains(out, "note"):
				t.Errorf("the run does not say why it ends:\n%s", out)
			case string(text) != c.file:
				t.Errorf("the file is %q, want %q", text, c.file)
			case c.run == exitPartial && !strings.Contains(out, "onDrift says skip: has also note"):
				t.Errorf("the run does not name the connection that it leaves out:\n%s", out)
			}
		})
	}
	// A workbook has a sheet for each branch: nothing has to fit, and all is well.
	job := writeJob(t, "", object{"id": "gst", "query": "select * from sale", "onDrift": "fail", "connections": []object{
		{"id": "a", "driver": "sqlite", "dsn": a}, {"id": "other", "driver": "sqlite", "dsn": other}},
		"destinations": []object{{"type": "excel", "filePath": filepath.ToSlash(filepath.Join(t.TempDir(), "gst.xlsx"))}}})
	if v := checkJSON(t, exitComplete, job); v.OnDrift != "" || v.Differing == 0 {
		t.Errorf("of a workbook it says %+v", v)
	}
}

// Where encryption keeps a branch out, the check names the setting that would let it in, and what that costs.
func TestCheckNamesTheEncryptionSetting(t *testing.T) {
	server := func(c minitds.Config) string {
		s, err := minitds.Start(c, minitds.Script{}.Handler())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return "sqlserver://app:hidden-word@" + s.Addr() + "?database=sale&dial+timeout=5"
	}
	pg := testdb.Postgres(t)
	connections, wants := []object{
		{"id": "stranger", "driver": "sqlserver", "dsn": server(minitds.Config{}) + "&encrypt=true"},
		{"id": "old", "driver": "sqlserver", "dsn": server(minitds.Config{Encryption: minitds.EncryptRequired, TLSMax: tls.VersionTLS10}) + "&encrypt=true&trustServerCertificate=true"},
		{"id": "plain", "driver": "sqlserver", "dsn": server(minitds.Config{Encryption: minitds.EncryptNotSupported}) + "&encrypt=true"},
	}, [][]string{
		{"trustServerCertificate=true", "can read the password"},
		{"tlsmin=1.0", "can be broken"},
		{"encrypt=disable", "can be read on the way"},
	}
	if pg.TLS() {
		connections = append(connections, object{"id": "pg", "driver": "postgres", "dsn": strings.Replace(pg.DSN(), "sslmode=disable", "sslmode=verify-full", 1)})
		wants = append(wants, []string{"sslrootcert=FILE", "sslmode=require trusts whoever answers"})
	}
	job := writeJob(t, "", object{"id": "gst", "query": "select 1 as id", "connections": connections, "destinations": []object{csvTo(t.TempDir(), "gst.csv", nil)}})
	v := checkJSON(t, exitPartial, job)
	for i, want := range wants {
		c := v.Connections[i]
		for _, w := range want {
			if c.Reachable || !strings.Contains(c.Error, w) {
				t.Errorf("%s: it does not say %q: %+v", c.ID, w, c)
			}
		}
		if strings.Contains(c.Error, "hidden-word") || pg.TLS() && strings.Contains(c.Error, password(t, pg.DSN())) {
			t.Errorf("%s: the password is in the error: %s", c.ID, c.Error)
		}
	}
}

// password is the one in a URL.
func password(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := u.User.Password()
	if p == "" {
		t.Fatalf("there is no password in the dsn")
	}
	return p
}
