//go:build unix

package stages_test

import (
	"bytes"
	"database/sql"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"fanmill/pipeline"
	"fanmill/stages"
)

// envReadFolder is set in the process that may read a folder and not write to it.
const envReadFolder = "FANMILL_TEST_READ_FOLDER"

// A database in WAL mode is read from a folder that cannot be written to while a program has it open; afterwards
// SQLite needs to be told that nothing changes, and the error says how.
func TestSQLiteWALInReadOnlyFolder(t *testing.T) {
	if dir := os.Getenv(envReadFolder); dir != "" {
		readFolder(t, dir)
		return
	}
	dir := t.TempDir()
	var dbs []*sql.DB
	for _, name := range []string{"open.db", "closed.db"} {
		dbs = append(dbs, walDatabase(t, filepath.Join(dir, name)))
	}
	if err := dbs[1].Close(); err != nil {
		t.Fatal(err)
	}
	// Root may write everywhere: the reader is another process, of somebody who may not.
	reader := filepath.Join(t.TempDir(), "reader")
	copyProgram(t, reader)
	for path, mode := range map[string]os.FileMode{dir: 0o555, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = os.Chmod(dir, 0o755) }() // so that it can be removed
	cmd := exec.Command(reader, "-test.run=^TestSQLiteWALInReadOnlyFolder$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), envReadFolder+"="+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSQLiteWALInReadOnlyFolder") {
		t.Errorf("%v:\n%s", err, out)
	}
}

func readFolder(t *testing.T, dir string) {
	if f, err := os.Create(filepath.Join(dir, "probe")); err == nil {
		_ = f.Close()
		t.Fatal("the folder can be written to")
	}
	const sum = "select sum(a) from t"
	rows, _ := texts(t, open(t, "sqlite", filepath.Join(dir, "open.db"), sum), 0, 10)
	same(t, "while it is open elsewhere", rows, []string{"3"})
	closed := filepath.Join(dir, "closed.db")
	err := attempt(t, "sqlite", pipeline.Request{DSN: closed, Queries: asQueries([]string{sum})})
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "immutable=1") {
		t.Errorf("a closed one: %v", err)
	}
	rows, _ = texts(t, open(t, "sqlite", "file:"+closed+"?immutable=1", sum), 0, 10)
	same(t, "a closed one that is said to be immutable", rows, []string{"3"})
}

// nobody is a user without rights.
func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// copyProgram puts this program where everybody may run it.
func copyProgram(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

// Reading a database in WAL mode leaves nothing beside it that was not there, changes not a byte of it, and lets a
// program that has it open go on.
func TestSQLiteWALIsLeftAsItWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "branch.db")
	writer := walDatabase(t, path)
	beside := func() (names []string) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	read := func(dsn, want string) {
		t.Helper()
		s := open(t, "sqlite", dsn, "select sum(a) from t")
		rows, _ := texts(t, s, 0, 10)
		same(t, "rows", rows, []string{want})
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	read(path, "3")
	if names := beside(); len(names) != 3 {
		t.Errorf("while a program has it open there is %q", names)
	}
	if _, err := writer.Exec("insert into t values (3)"); err != nil {
		t.Errorf("the program cannot write any more: %v", err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{path, "file:" + path, "file:" + path + "?mode=ro"} {
		both := open(t, "sqlite", dsn, "select sum(a) from t") // the last of several tidies up
		read(dsn, "6")
		if err := both.Close(); err != nil {
			t.Error(err)
		}
		if names := beside(); len(names) != 1 {
			t.Errorf("%s: reading left %q", dsn, names)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("reading changed the database: %v", err)
	}
}

// What another user's reading makes beside a database, its own program can write to.
func TestSQLiteWALOfAnotherUser(t *testing.T) {
	if dir := os.Getenv(envReadFolder); dir != "" {
		rows, _ := texts(t, open(t, "sqlite", filepath.Join(dir, "branch.db"), "select sum(a) from t"), 0, 10)
		same(t, "rows", rows, []string{"3"})
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can be two users")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "branch.db")
	if err := walDatabase(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	reader := filepath.Join(t.TempDir(), "reader")
	copyProgram(t, reader)
	for path, mode := range map[string]os.FileMode{dir: 0o777, filepath.Dir(dir): 0o755, path: 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(reader, "-test.run=^TestSQLiteWALOfAnotherUser$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), envReadFolder+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: nobody(t)}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestSQLiteWALOfAnotherUser") {
		t.Fatalf("%v:\n%s", err, out)
	}
	for _, name := range []string{"branch.db-wal", "branch.db-shm"} { // it may not remove them: it may not write to the database
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != 0o666 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

// walDatabase makes a database in WAL mode with the numbers 1 and 2, and leaves it open.
func walDatabase(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, s := range []string{"pragma journal_mode = wal", "create table t (a int)", "insert into t values (1)", "insert into t values (2)"} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// A pipe in a database's place is refused: to open it would wait for a writer, for ever.
func TestSQLitePipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "branch.db")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dsn := range []string{path, "file:" + path} {
		_, err := stages.Kinds()["sqlite"].Driver.Open(t.Context(), pipeline.Request{DSN: dsn, Queries: asQueries([]string{"select 1"})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), path+": this is a pipe") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}
