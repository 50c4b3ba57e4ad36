package stages_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// pooled starts a PgBouncer in front of the test server, with two connections to it, and returns a DSN through it
// that leads to the same database as dsn. more are lines of its configuration.
func pooled(t *testing.T, dsn, mode string, more ...string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil || runtime.GOOS == "windows" {
		if os.Getenv(testdb.EnvRequire) != "" {
			t.Fatal("no pgbouncer: ", err)
		}
		t.Skip("no pgbouncer: ", err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	config := filepath.Join(dir, "pgbouncer.ini")
	for path, text := range map[string]string{
		users: fmt.Sprintf("%q %q\n", u.User.Username(), password),
		config: fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = %s\n"+
			"pool_mode = %s\ndefault_pool_size = 2\nlogfile = %s\n%s\n", u.Hostname(), u.Port(), port, users, mode, filepath.Join(dir, "log"), strings.Join(more, "\n")),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// PgBouncer refuses to run as root and then becomes the user that it is told. It must not outlive this process:
	// the shell ends it when the pipe to it closes.
	script := `"$0" "$@" & read -r line; kill $!; wait $!`
	args := []string{"-c", script, program, config}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "nobody")
		for _, path := range []string{dir, filepath.Dir(dir)} {
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command("sh", args...)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = pipe.Close()
		_ = cmd.Wait() // ended by a signal
	})
	u.Host = net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	pool := u.String()
	deadline := time.Now().Add(watchdog)
	for {
		conn, err := pgconn.Connect(t.Context(), pool)
		if err == nil {
			_ = conn.Close(t.Context())
			return pool
		}
		if !strings.Contains(err.Error(), "refused") && mode != "statement" || time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("%v\n%s", err, text)
		}
	}
}

// Behind a pooler that lends a server only for a transaction, a session keeps its server, describes and runs with
// statements without names, and leaves nothing behind for the next client of that server.
func TestPostgresTransactionPool(t *testing.T) {
	dsn := pooled(t, createPostgres(t, postgresKinds...), "transaction")
	for _, mode := range []string{"", "&default_query_exec_mode=exec", "&default_query_exec_mode=cache_describe&pool_max_conns=4&statement_cache_capacity=0"} {
		s := open(t, "postgres", dsn+mode, qKinds, "select n from generate_series(1, 100000) as n", "select current_setting('extra_float_digits')")
		other, err := pgconn.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		between := func(sql string) string {
			t.Helper()
			res := other.ExecParams(t.Context(), sql, nil, nil, nil, nil).Read() // describes and runs an unnamed statement of its own
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			return string(res.Rows[0][0])
		}
		between("select 'somebody else'")
		rows, _ := texts(t, s, 0, 3)
		same(t, "rows", rows, kindRows)
		between("select 'somebody else'")
		if rows, _ = texts(t, s, 1, 1000); len(rows) != 100000 || rows[99999] != "100000" {
			t.Errorf("%d rows", len(rows))
		}
		rows, _ = texts(t, s, 2, 10)
		same(t, "the session's setting, until it ends", rows, []string{"3"})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// One of the pool's two servers had the session. Who gets them next finds both as they were.
		third, err := pgconn.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		for _, conn := range []*pgconn.PgConn{other, third} {
			res, err := conn.Exec(t.Context(), "begin; select current_setting('extra_float_digits') || current_setting('transaction_read_only')").ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(res[1].Rows[0][0]); got != "1off" {
				t.Errorf("the session left %q behind", got)
			}
		}
		if err := third.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := other.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A cancelled query ends on the server behind a pooler, too.
func TestPostgresPoolCancel(t *testing.T) {
	direct := createPostgres(t)
	s := open(t, "postgres", pooled(t, direct, "transaction"), `select count(*) from generate_series(1, 1000000000) a, generate_series(1, 1000000000) b`)
	cancelWhen(t, s, func() { postgresActivity(t, direct, "state = 'active'", 1) })
	closes(t, s)
	postgresActivity(t, direct, "state = 'active'", 0)
}

// What a pooler says has one SQLSTATE for what will never work and for what may pass. They are told apart, and the
// error of a pool that cannot carry a transaction names the one that can.
func TestPostgresPoolErrors(t *testing.T) {
	direct := createPostgres(t)
	dsn := pooled(t, direct, "transaction")
	err := attempt(t, "postgres", pipeline.Request{DSN: strings.Replace(dsn, "@", "not@", 1), Queries: asQueries([]string{qIDs})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "authentication failed") {
		t.Errorf("wrong password: %v", err)
	}
	err = attempt(t, "postgres", pipeline.Request{DSN: pooled(t, direct, "statement"), Queries: asQueries([]string{"select 1"})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "pool_mode=transaction") {
		t.Errorf("statement pooling: %v", err)
	}
	s := open(t, "postgres", dsn, "select generate_series(1, 100000000000)")
	killed := false
	err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		b.Reset()
		if killed {
			return nil
		}
		killed = true
		return testdb.Postgres(t).TerminateSessions(t.Context(), direct)
	})
	if !errors.Is(err, pipeline.ErrTransient) || pipeline.IsPermanent(err) {
		t.Errorf("the server behind the pooler went away: %v", err)
	}
}

// The names of other programs' settings are understood or refused by name, not handed to the server.
func TestPostgresModes(t *testing.T) {
	dsn := testdb.Postgres(t).DSN()
	for mode, want := range map[string]string{"simple_protocol": "pool_mode=transaction", "fast": "cache_describe"} {
		_, err := stages.Kinds()["postgres"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn + "&default_query_exec_mode=" + mode, Queries: asQueries([]string{"select 1"})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	_, err := stages.Kinds()["postgres"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn + "&ssl_min_protocol_version=SSLv3", Queries: asQueries([]string{"select 1"})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "TLSv1.2") {
		t.Errorf("SSLv3: %v", err)
	}
}
