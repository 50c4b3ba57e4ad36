package stages_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/minitds"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

var anInt = []minitds.Column{{Name: "n", Type: minitds.Int}}

// answered starts a scripted server with answers of its own, and returns it and its DSN without encryption.
func answered(t testing.TB, config minitds.Config, answers minitds.Script) (*minitds.Server, string) {
	t.Helper()
	config.User, config.Password = "fanmill", sqlserverPassword
	s, err := minitds.Start(config, answers.Handler())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable")
}

func await(t testing.TB, s *minitds.Server, f func(minitds.Record) bool) {
	t.Helper()
	if err := s.Await(t.Context(), f); err != nil {
		t.Errorf("%v: %+v", err, s.Record())
	}
}

func sqlserverOpen(ctx context.Context, dsn string, sql ...string) (pipeline.Session, error) {
	return stages.Kinds()["sqlserver"].Driver.Open(ctx, pipeline.Request{DSN: dsn, Queries: asQueries(sql)})
}

// A cancel that the server never confirms ends all the same, and the connection with it, before anybody closes it: a
// query on it would wait for ever, whatever its context.
func TestSQLServerUnconfirmedCancel(t *testing.T) {
	for _, q := range []string{"rows and then nothing", "nothing"} {
		s, dsn := answered(t, minitds.Config{DeafToCancel: true}, minitds.Script{
			"rows and then nothing": {Columns: anInt, Rows: [][]any{{1}}, Times: 100_000, Hang: true}, "nothing": {Columns: anInt, Hang: true},
			qIDs: {Columns: anInt, Rows: [][]any{{1}, {2}}}})
		session, err := sqlserverOpen(t.Context(), dsn, q)
		if err != nil {
			t.Fatal(err)
		}
		cancelWhen(t, session, func() { await(t, s, func(r minitds.Record) bool { return r.Running == 1 }) })
		await(t, s, func(r minitds.Record) bool { return r.Attentions > 0 && r.Open == 0 })
		if err := session.Stream(t.Context(), 0, columnar.NewBuilder(session.Columns(0)), full, drop); err == nil {
			t.Error("the session goes on")
		}
		closes(t, session)
		rows, _ := texts(t, open(t, "sqlserver", dsn, qIDs), 0, 10)
		same(t, "rows of the next session", rows, []string{"1", "2"})
	}
}

// A network that goes away between opening a session and its first query, or within a result, is worth another try.
func TestSQLServerNetworkDrop(t *testing.T) {
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt, Rows: [][]any{{1}}}, "cut": {Columns: anInt, Rows: [][]any{{1}}, Times: 5000, Cut: true}})
	session, err := sqlserverOpen(t.Context(), dsn, "q")
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s.Drop()
	err = session.Stream(t.Context(), 0, columnar.NewBuilder(session.Columns(0)), full, drop)
	if !errors.Is(err, pipeline.ErrTransient) {
		t.Errorf("the first query after a drop: %v", err)
	}
	err = attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"cut"})})
	if !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "the server closed the connection") {
		t.Errorf("a drop within a result: %v", err)
	}
}

// Every error of a server is told in its own words with its number, and whether it may pass follows from the number
// or its severity. Numbers that only compatible servers use are final.
func TestSQLServerErrors(t *testing.T) {
	for _, c := range []struct {
		err       minitds.Error
		transient bool
	}{
		{minitds.Error{Number: 208, Message: "Invalid object name 'sales'."}, false},
		{minitds.Error{Number: 102, Class: 15, Message: "Incorrect syntax near 'selekt'."}, false},
		{minitds.Error{Number: 207, Message: "Invalid column name 'x'."}, false},
		{minitds.Error{Number: 229, Class: 14, Message: "The SELECT permission was denied on the object 'sales'."}, false},
		{minitds.Error{Number: 8134, Message: "Divide by zero error encountered."}, false},
		{minitds.Error{Number: 50000, Message: "raised by a procedure"}, false},
		{minitds.Error{Number: 33557097, Message: "a compatible server's only number"}, false},
		{minitds.Error{Number: 1205, Class: 13, State: 51, Message: "Transaction (Process ID 52) was deadlocked on lock resources."}, true},
		{minitds.Error{Number: 1222, Message: "Lock request time out period exceeded."}, true},
		{minitds.Error{Number: 701, Class: 17, Message: "There is insufficient system memory."}, true},
		{minitds.Error{Number: 40501, Class: 20, Message: "The service is currently busy."}, true},
		{minitds.Error{Number: 596, Class: 21, Message: "Cannot continue the execution because the session is in the kill state."}, true},
		{minitds.Error{Number: 9999, Class: 17, Message: "out of something"}, true},
	} {
		for place, a := range map[string]minitds.Answer{
			"at once":    {Err: &c.err},
			"after rows": {Columns: anInt, Rows: [][]any{{1}}, Times: 3000, Err: &c.err},
			"in second":  {Columns: anInt, Rows: [][]any{{1}}, Then: &minitds.Answer{Err: &c.err}},
		} {
			_, dsn := answered(t, minitds.Config{}, minitds.Script{"q": a})
			err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"q"})})
			if err == nil || errors.Is(err, pipeline.ErrTransient) != c.transient || pipeline.IsPermanent(err) == c.transient {
				t.Errorf("%d %s: transient %v: %v", c.err.Number, place, errors.Is(err, pipeline.ErrTransient), err)
			} else if !strings.Contains(err.Error(), fmt.Sprintf("%s (error %d)", c.err.Message, c.err.Number)) {
				t.Errorf("%d %s: %v", c.err.Number, place, err)
			}
		}
	}
}

// The login is what the DSN asks for, and says what it is for.
func TestSQLServerLogin(t *testing.T) {
	s, _ := answered(t, minitds.Config{Databases: []string{"branch"}}, minitds.Script{"q": {Columns: anInt}})
	for _, c := range []struct {
		dsn   string
		want  minitds.Login
		error string
	}{
		{sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable"), minitds.Login{App: "fanmill", ReadOnly: true, Database: "branch"}, ""},
		{strings.Replace(sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable"), "sqlserver:", "mssql:", 1), minitds.Login{App: "fanmill", ReadOnly: true, Database: "branch"}, ""},
		{sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable&app+name=night&applicationIntent=ReadWrite"), minitds.Login{App: "night", Database: "branch"}, ""},
		{strings.Replace(sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable"), "database=branch&", "", 1), minitds.Login{App: "fanmill"}, ""},
		{"server=" + strings.Replace(s.Addr(), ":", ",", 1) + `;user id=fanmill;password="` + sqlserverPassword + `";database=branch;encrypt=disable`, minitds.Login{App: "fanmill", ReadOnly: true, Database: "branch"}, ""},
		{"odbc:server=" + strings.Split(s.Addr(), ":")[0] + ";port=" + strings.Split(s.Addr(), ":")[1] + ";user id=fanmill;password={" + sqlserverPassword + "};database=branch;encrypt=disable",
			minitds.Login{App: "fanmill", ReadOnly: true, Database: "branch"}, ""},
		{strings.Replace(sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=disable"), "branch", "elsewhere", 1), minitds.Login{App: "fanmill", ReadOnly: true, Database: "elsewhere", Refused: 4060}, `Cannot open database "elsewhere" requested by the login. The login failed. (error 4060)`},
	} {
		err := attempt(t, "sqlserver", pipeline.Request{DSN: c.dsn, Queries: asQueries([]string{"q"})})
		if c.error == "" && err != nil || c.error != "" && (!pipeline.IsPermanent(err) || !strings.HasSuffix(err.Error(), ": "+c.error)) {
			t.Errorf("%s: %v", c.dsn, err)
		}
		logins := s.Record().Logins
		if len(logins) == 0 {
			t.Fatal("no login")
		}
		got := logins[len(logins)-1]
		c.want.User, c.want.Password = "fanmill", sqlserverPassword
		got.Host, got.Server, got.PacketSize = "", "", 0
		if got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.dsn, got, c.want)
		}
	}
}

// A listener that sends a login on to another server is followed.
func TestSQLServerRouting(t *testing.T) {
	second, _ := answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt, Rows: [][]any{{7}}}})
	_, dsn := answered(t, minitds.Config{RouteTo: second.Addr()}, nil)
	rows, _ := texts(t, open(t, "sqlserver", dsn, "q"), 0, 10)
	same(t, "rows", rows, []string{"7"})
}

// Encryption: what connects does, and what does not names the setting that would, and its price.
func TestSQLServerEncryption(t *testing.T) {
	folder := t.TempDir()
	file := func(name string, der []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return url.QueryEscape(path)
	}
	stranger, err := minitds.Stranger()
	if err != nil {
		t.Fatal(err)
	}
	other := file("other.pem", stranger)
	off, on := minitds.Config{}, minitds.Config{Encryption: minitds.EncryptRequired}
	none, old := minitds.Config{Encryption: minitds.EncryptNotSupported}, minitds.Config{Encryption: minitds.EncryptRequired, TLSMax: tls.VersionTLS10}
	for _, c := range []struct {
		name, options string
		config        minitds.Config
		tls           uint16   // of the login
		advice        []string // in the error
	}{
		{"no word of it", "", off, tls.VersionTLS12, nil},
		{"all of it", "encrypt=true&trustServerCertificate=true", off, tls.VersionTLS12, nil},
		{"required", "trustServerCertificate=true", on, tls.VersionTLS12, nil},
		{"a certificate to trust", "encrypt=true&certificate=OWN", on, tls.VersionTLS12, nil},
		{"a certificate to compare", "encrypt=true&serverCertificate=OWN", on, tls.VersionTLS12, nil},
		{"none", "encrypt=disable", none, 0, nil},
		{"old, accepted", "tlsmin=1.0", old, tls.VersionTLS10, nil},
		{"a certificate is enough to say", "certificate=OWN", off, tls.VersionTLS12, nil},
		{"another's certificate, no word of encrypting", "certificate=" + other, on, 0, []string{"certificate="}},
		{"compared with another's, no word of encrypting", "serverCertificate=" + other, off, 0, []string{"serverCertificate="}},
		{"self-signed", "encrypt=true", on, 0, []string{"certificate=", "trustServerCertificate=true", "can read the password"}},
		{"another's certificate", "encrypt=true&certificate=" + other, on, 0, []string{"certificate="}},
		{"compared with another's", "encrypt=true&serverCertificate=" + other, on, 0, []string{"certificate="}},
		{"another name", "encrypt=true&certificate=OWN&hostNameInCertificate=elsewhere.example", on, 0, []string{"wanted to match elsewhere.example", "the certificate is for 127.0.0.1: hostNameInCertificate="}},
		{"tlsmin too high", "encrypt=true&trustServerCertificate=true&tlsmin=1.3", on, 0, []string{"leave tlsmin out, or write a lower one"}},
		{"wanted, there is none", "encrypt=true", none, 0, []string{"encrypt=disable", "VPN"}},
		{"forbidden, and required", "encrypt=disable", on, 0, []string{"insists on encryption"}},
		{"old", "encrypt=true&trustServerCertificate=true", old, 0, []string{"tlsmin=1.0", "can be broken"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := answered(t, c.config, minitds.Script{"q": {Columns: anInt, Rows: [][]any{{1}}, Times: 10_000}})
			options := strings.ReplaceAll(c.options, "OWN", file("own.pem", s.Certificate().Raw))
			err := attempt(t, "sqlserver", pipeline.Request{DSN: sqlserverDSN(s.Addr(), sqlserverPassword, options), Queries: asQueries([]string{"q"})})
			if c.advice == nil {
				if r := s.Record(); err != nil || len(r.Logins) != 1 || r.Logins[0].TLS != c.tls {
					t.Errorf("%v; logins %+v", err, r.Logins)
				}
				return
			}
			if !pipeline.IsPermanent(err) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the error is %v", err)
			}
			for _, words := range c.advice {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("%q is not in: %v", words, err)
				}
			}
			for _, weaker := range []string{"trustServerCertificate=true", "encrypt=disable"} { // where it is not the cure, it is not offered
				wanted := c.name == "self-signed" || strings.Contains(c.name, "another's certificate") || c.name == "wanted, there is none" || c.name == "forbidden, and required"
				if err != nil && !wanted && strings.Contains(err.Error(), weaker) {
					t.Errorf("%s is advised: %v", weaker, err)
				}
			}
		})
	}
}

// A server that hangs up when TLS begins may be one that does not know the client's version, or at the end of a bad
// line: it is asked again, and the error has the setting.
func TestSQLServerHangsUpOnTLS(t *testing.T) {
	s, _ := answered(t, minitds.Config{CutTLS: true}, nil)
	_, err := sqlserverOpen(t.Context(), sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=true"), "q")
	if !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "tlsmin=1.0") {
		t.Errorf("the error is %v", err)
	}
}

// A server that takes the connection and says nothing is given up, in time and when the context ends.
func TestSQLServerSilent(t *testing.T) {
	s, dsn := answered(t, minitds.Config{Silent: true}, nil)
	if _, err := sqlserverOpen(t.Context(), dsn+"&connection+timeout=1", "q"); !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("the error is %v", err)
	}
	await(t, s, func(r minitds.Record) bool { return r.Open == 0 })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		await(t, s, func(r minitds.Record) bool { return r.Open > 0 })
		cancel()
	}()
	canceled(t, soon(t, "opening", func() error { _, err := sqlserverOpen(ctx, dsn, "q"); return err }))
	await(t, s, func(r minitds.Record) bool { return r.Open == 0 })
}

// An instance whose port nobody tells may be back; the error says who would tell it, and what does without.
func TestSQLServerNoBrowser(t *testing.T) {
	err := attempt(t, "sqlserver", pipeline.Request{DSN: "sqlserver://me:s3cr3t@127.0.0.1/NOWHERE?database=d", Queries: asQueries([]string{"q"})})
	if !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "UDP port 1434") || !strings.Contains(err.Error(), "give the port") {
		t.Errorf("the error is %v", err)
	}
}

// "Connect Timeout" of an ADO list is about the login, as in its home: a query may be silent for longer.
func TestSQLServerConnectTimeoutIsOfTheLogin(t *testing.T) {
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt, Hang: true}})
	session, err := sqlserverOpen(t.Context(), dsn+"&connection+timeout=1", "q")
	for err != nil && strings.Contains(err.Error(), "no answer within 1s") { // a busy machine
		session, err = sqlserverOpen(t.Context(), dsn+"&connection+timeout=1", "q")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if err := session.Stream(ctx, 0, columnar.NewBuilder(session.Columns(0)), full, drop); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	await(t, s, func(r minitds.Record) bool { return r.Running == 0 })
}

// ran counts how often a server was asked for a query's rows.
func ran(s *minitds.Server, query string) (n int) {
	for _, q := range s.Record().Requests {
		if q.SQL == query || q.Procedure == query {
			n++
		}
	}
	return n
}

// Queries are described without being run, by servers of every age. Only one that no server can describe is run for
// it: once if it is the only one, for its rows are those; else it is cancelled and runs again when its turn comes.
func TestSQLServerDescribe(t *testing.T) {
	plain, opaque := minitds.Answer{Columns: anInt, Rows: [][]any{{1}, {2}}}, minitds.Answer{Columns: anInt, Rows: [][]any{{1}}, Times: 50_000, Opaque: true}
	for _, c := range []struct {
		name    string
		config  minitds.Config
		queries []string
		runs    []int // of each query, before its rows are asked for
	}{
		{"2012", minitds.Config{Major: 11}, []string{"plain", "plain"}, []int{0, 0}},
		{"2008 R2", minitds.Config{Major: 10, Minor: 50}, []string{"plain", "plain"}, []int{2, 2}}, // with FMTONLY on
		{"temporary tables", minitds.Config{}, []string{"opaque"}, []int{2}},
		{"temporary tables in one of two", minitds.Config{}, []string{"opaque", "plain"}, []int{2, 0}},
		{"temporary tables, 2008", minitds.Config{Major: 10}, []string{"opaque"}, []int{2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dsn := answered(t, c.config, minitds.Script{"plain": plain, "opaque": opaque})
			session := open(t, "sqlserver", dsn, c.queries...)
			for q, text := range c.queries {
				if got := ran(s, text); got != c.runs[q] {
					t.Errorf("%s was run %d times to be described, want %d", text, got, c.runs[q])
				}
				if columns := session.Columns(q); len(columns) != 1 || columns[0].Type() != "int" {
					t.Errorf("%s has the columns %v", text, columns)
				}
			}
			for q, text := range c.queries {
				rows, _ := texts(t, session, q, 10_000)
				if want := map[string]int{"plain": 2, "opaque": 50_000}[text]; len(rows) != want {
					t.Errorf("%d rows of %s", len(rows), text)
				}
			}
			if c.name == "temporary tables" && ran(s, "opaque") != 2 { // once with FMTONLY on, once for its rows
				t.Errorf("the query was run %d times", ran(s, "opaque"))
			}
			if r := s.Record(); r.Committed != 0 || len(r.Begun) == 0 {
				t.Errorf("transactions: %+v", r)
			}
		})
	}
}

// A context that ends after a session was opened does not end a query that began then, if its rows are asked for with
// another.
func TestSQLServerOpenContextEnds(t *testing.T) {
	_, dsn := answered(t, minitds.Config{}, minitds.Script{"opaque": {Columns: anInt, Rows: [][]any{{1}}, Times: 100_000, Opaque: true}})
	ctx, cancel := context.WithCancel(t.Context())
	session, err := sqlserverOpen(ctx, dsn, "opaque")
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	cancel()
	if rows, _ := texts(t, session, 0, 10_000); len(rows) != 100_000 {
		t.Errorf("%d rows", len(rows))
	}
}

// A statement that writes and returns rows runs in a transaction that is never committed.
func TestSQLServerNeverCommits(t *testing.T) {
	const update = "update t set a = 1 output inserted.a"
	s, dsn := answered(t, minitds.Config{}, minitds.Script{update: {Columns: anInt, Rows: [][]any{{1}}}})
	if err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{update, update})}); err != nil {
		t.Fatal(err)
	}
	await(t, s, func(r minitds.Record) bool { return r.Open == 0 })
	if r := s.Record(); r.Committed != 0 || !slices.Equal(r.Begun, []int{0}) {
		t.Errorf("transactions begun %v, committed %d", r.Begun, r.Committed)
	}
}

// A snapshot is a transaction of that isolation level over all queries; a database that does not allow it says so
// before any rows.
func TestSQLServerSnapshot(t *testing.T) {
	request := pipeline.Request{Snapshot: true, Queries: asQueries([]string{"q", "q"})}
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt}})
	request.DSN = dsn
	if err := attempt(t, "sqlserver", request); err != nil {
		t.Fatal(err)
	}
	const snapshot = 5 // [MS-TDS] 2.2.6.9
	if r := s.Record(); !slices.Equal(r.Begun, []int{snapshot}) || r.Committed != 0 {
		t.Errorf("transactions begun: %v", r.Begun)
	}
	_, request.DSN = answered(t, minitds.Config{NoSnapshot: true}, minitds.Script{"q": {Columns: anInt}})
	if _, err := stages.Kinds()["sqlserver"].Driver.Open(t.Context(), request); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "ALTER DATABASE [branch] SET ALLOW_SNAPSHOT_ISOLATION ON") {
		t.Errorf("the error is %v", err)
	}
	_, request.DSN = answered(t, minitds.Config{}, minitds.Script{"q": {Columns: anInt, Err: &minitds.Error{Number: 3952, Message: "Snapshot isolation transaction failed accessing database 'x'."}}})
	if err := attempt(t, "sqlserver", request); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "ALLOW_SNAPSHOT_ISOLATION ON") {
		t.Errorf("the error is %v", err)
	}
}

// asked is the last query with parameters that a server was asked.
func asked(t testing.TB, s *minitds.Server) minitds.Request {
	t.Helper()
	for _, q := range slices.Backward(s.Record().Requests) {
		if q.Procedure == "sp_executesql" {
			return q
		}
	}
	t.Fatal("no query with parameters")
	return minitds.Request{}
}

// A parameter has a type that fits whatever the query puts in its place or behind it, in describing as in running: a
// NULL and a text are not as long as their value, a decimal is as in the text of a query.
func TestSQLServerParamTypes(t *testing.T) {
	long := strings.Repeat("x", 4001)
	for _, c := range []struct {
		arg                  pipeline.Arg
		text, declared, wire string
		value                any
	}{
		{pipeline.Arg{Type: pipeline.ArgNull}, "@p", "nvarchar(4000)", "nvarchar(4000)", nil},
		{pipeline.Arg{Type: pipeline.ArgText, Text: "a"}, "@p", "nvarchar(4000)", "nvarchar(1)", "a"},
		{pipeline.Arg{Type: pipeline.ArgText}, "@p", "nvarchar(4000)", "nvarchar(max)", ""},
		{pipeline.Arg{Type: pipeline.ArgText, Text: long}, "@p", "nvarchar(max)", "nvarchar(max)", long},
		{pipeline.Arg{Type: pipeline.ArgBool, Text: "true"}, "@p", "bit", "bit", true},
		{pipeline.Arg{Type: pipeline.ArgInt, Text: "-1"}, "@p", "bigint", "bigint", int64(-1)},
		{pipeline.Arg{Type: pipeline.ArgDecimal, Text: "-12.50"}, "CAST(@p AS decimal(4,2))", "nvarchar(40)", "nvarchar(6)", "-12.50"},
		{pipeline.Arg{Type: pipeline.ArgDecimal, Text: "0.001"}, "CAST(@p AS decimal(3,3))", "nvarchar(40)", "nvarchar(5)", "0.001"},
		{pipeline.Arg{Type: pipeline.ArgDecimal, Text: "0"}, "CAST(@p AS decimal(1,0))", "nvarchar(40)", "nvarchar(1)", "0"},
		{pipeline.Arg{Type: pipeline.ArgDate, Text: "2024-02-29"}, "CAST(@p AS date)", "nvarchar(10)", "nvarchar(10)", "2024-02-29"},
	} {
		c.arg.Name = "p"
		s, dsn := answered(t, minitds.Config{}, minitds.Script{"select isnull(" + c.text + ", N'all branches')": {Columns: anInt}})
		query := pipeline.Query{SQL: "select isnull(:p, N'all branches')", Args: []pipeline.Arg{c.arg}}
		if err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{query}}); err != nil {
			t.Errorf("%+v: %v", c.arg, err)
			continue
		}
		q := asked(t, s)
		if p := q.Param("@p"); q.Declared != "@p "+c.declared || p == nil || p.Type != c.wire || p.Value != c.value {
			t.Errorf("%+v: declared %q, sent %+v", c.arg, q.Declared, p)
		}
		for _, r := range s.Record().Requests {
			if r.Procedure == "sp_describe_first_result_set" && r.Params[1].Value != "@p "+c.declared {
				t.Errorf("%+v: described as %v", c.arg, r.Params[1].Value)
			}
		}
	}
}

// Parameters get names that the query does not use, and values that are none are refused before a server is asked.
func TestSQLServerParams(t *testing.T) {
	const text = "declare @From date = :from; select 1 where :FROM = 'x'"
	s, dsn := answered(t, minitds.Config{}, minitds.Script{"declare @From date = CAST(@fanmill_1_from AS date); select 1 where @fanmill_2_FROM = 'x'": {Columns: anInt, Rows: [][]any{{1}}}})
	query := pipeline.Query{SQL: text, Args: []pipeline.Arg{{Name: "from", Type: pipeline.ArgDate, Text: "2024-02-29"}, {Name: "FROM", Type: pipeline.ArgText, Text: "x"}}}
	if err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{query}}); err != nil {
		t.Error(err)
	}
	if q := asked(t, s); q.Declared != "@fanmill_1_from nvarchar(10),@fanmill_2_FROM nvarchar(4000)" {
		t.Errorf("the server was asked %+v", q)
	}
	for _, bad := range []pipeline.Arg{{Type: pipeline.ArgInt, Text: "1.5"}, {Type: pipeline.ArgBool, Text: "maybe"}, {Type: pipeline.ArgDecimal, Text: "1e5"}, {Type: pipeline.ArgDate, Text: "29.02.2024"}} {
		bad.Name = "p"
		err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: "select :p", Args: []pipeline.Arg{bad}}}})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "parameter p") {
			t.Errorf("%s as %s: %v", bad.Text, bad.Type, err)
		}
	}
}

// A server that does not know encrypt=strict hangs up, as a network does: that is tried again, and the advice stands
// all the same.
func TestSQLServerStrictWithAnOlderOne(t *testing.T) {
	s, _ := answered(t, minitds.Config{Encryption: minitds.EncryptRequired}, nil)
	err := attempt(t, "sqlserver", pipeline.Request{DSN: sqlserverDSN(s.Addr(), sqlserverPassword, "encrypt=strict&trustServerCertificate=true"), Queries: asQueries([]string{"q"})})
	if err == nil || !strings.Contains(err.Error(), "encrypt=strict is for SQL Server 2022 and later") {
		t.Errorf("the error is %v", err)
	}
}

// A user with a domain is a Windows account, whose password is not sent: the login begins with an NTLM negotiation
// [MS-NLMP] 2.2.1.1.
func TestSQLServerWindowsAccount(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there Windows itself logs in, and may negotiate otherwise")
	}
	s, _ := answered(t, minitds.Config{}, nil)
	dsn := "server=" + strings.Replace(s.Addr(), ":", ",", 1) + `;user id=BRANCH\clerk;password=s3cr3t;database=branch`
	// The scripted server knows no such accounts, and refuses it.
	if err := attempt(t, "sqlserver", pipeline.Request{DSN: dsn, Queries: asQueries([]string{"q"})}); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "18456") {
		t.Errorf("the error is %v", err)
	}
	logins := s.Record().Logins
	if len(logins) != 1 || !strings.HasPrefix(logins[0].SSPI, "NTLMSSP\x00\x01\x00\x00\x00") || logins[0].User != "" || logins[0].Password != "" {
		t.Errorf("the logins are %+v", logins)
	}
}

// What other programs write into their connection strings is no reason to refuse them.
func TestSQLServerForeignSettings(t *testing.T) {
	for _, dsn := range []string{
		"Data Source=host,1444;Initial Catalog=sales;User Id=me;Password=x;MultipleActiveResultSets=true;Persist Security Info=False;Pooling=true;Max Pool Size=5;Connect Timeout=30;Application Name=a",
		"server=host;User Id=me;Trusted_Connection=yes;Integrated Security=SSPI;TrustServerCertificate=true;Encrypt=true;Application Intent=ReadWrite;Asynchronous Processing=true;Authentication=SqlPassword",
		"odbc:Driver={ODBC Driver 17 for SQL Server};Server=host;Database=sales;UID=me;PWD=x;WSID=here;Language=English",
	} {
		if err := stages.Kinds()["sqlserver"].CheckDSN(dsn); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// A DSN that cannot be meant is refused with what it should look like, and without its password.
func TestSQLServerBadDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                             "is its environment variable set",
		"postgres://me:s3cr3t@host/db": "sqlserver://user:password@host",
		"me/s3cr3t":                    "sqlserver://user:password@host",
		"sqlserver://me:s3cr3t/x@host?database=db":                         "%2F",
		"sqlserver://me:s3cr3t@host:1433/sales":                            "?database=sales",
		"sqlserver://me:s3cr3t@host?database=db&encrypt=s3cr3t":            "invalid encrypt '****'",
		"sqlserver://me:s3cr3t@host:99999999?database=db":                  "port",
		"sqlserver://me:s3cr3t@host?applicationIntent=readonly":            "needs a database",
		"sqlserver://me:s3cr3t@host?database=d&applicationIntent=s3cr3t":   "ReadOnly or ReadWrite",
		"server=host;user id=me;password=s3cr3t;change password=s3cr3tnew": "changes nothing",
		"user id=me;password=s3cr3t;database=db":                           "server=host",
		`odbc:server=host;password={s3cr3t`:                                "unexpected end of braced value",
		"sqlserver://me:s3cr3t@host?trustServerCert=true":                  `"trustservercert" is not a setting of SQL Server's; did you mean "trustServerCertificate"?`,
		"server=host;tls_min=1.0":                                          `did you mean "tlsmin"?`,
		"server=host;encrpt=true":                                          `did you mean "encrypt"?`,
		"server=host;connectiontimeout=5":                                  `did you mean "connection timeout"?`,
		"server=host;tlsmin=TLS1.0":                                        "must be 1.0, 1.1, 1.2 or 1.3",
	} {
		_, err := sqlserverOpen(t.Context(), dsn, "q")
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}
