package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Maria is a MariaDB server for tests, or the MySQL or MariaDB server that EnvMySQL names.
type Maria struct {
	config *mysql.Config // of the administrator, without a database
	bin    string        // folder of mariadbd; "" for a server that was there already
	dir    string
	caFile string // the certificate of the server, which is its own authority; "" if that is not known
	dog    *watchdog
	server *exec.Cmd
}

// mariaStartLimit bounds how long a server may take until it accepts connections.
const mariaStartLimit = time.Minute

// StartMariaDB starts a private server in a new folder below dir (the system's temporary folder if dir is ""). It trades
// durability for speed. Stop ends it; so does the end of this process.
func StartMariaDB(dir string) (_ *Maria, err error) {
	bin, install, err := mariadbBin()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "fanmill-mariadb-")
	if err != nil {
		return nil, fmt.Errorf("start mariadb: %w", err)
	}
	m := &Maria{bin: bin, dir: home}
	if m.dog, err = startWatchdog("mariadb", bin, home); err != nil {
		_ = os.RemoveAll(home)
		return nil, err
	}
	if err = m.start(install); err != nil {
		return nil, errors.Join(fmt.Errorf("start mariadb: %w", err), m.Stop())
	}
	return m, nil
}

func (m *Maria) start(install string) error {
	if err := giveAway(m.dir); err != nil {
		return err
	}
	args := []string{"--datadir=" + dataFolder(m.dir)}
	if runtime.GOOS != "windows" { // there it is a program of its own with few options
		args = append([]string{"--no-defaults"}, append(args, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--force")...)
	}
	// A server removes at its start what looks like a temporary table in its temporary folder, also those of another
	// server that is at work: each has a folder of its own.
	if err := os.Mkdir(m.file("tmp"), 0o700); err != nil {
		return err
	}
	if err := giveAway(m.file("tmp")); err != nil {
		return err
	}
	env := []string{"TMPDIR=" + m.file("tmp"), "TMP=" + m.file("tmp"), "TEMP=" + m.file("tmp")}
	if err := runProgram(install, m.dir, "mariadb-install-db", env, args...); err != nil {
		return err
	}
	// Logins are checked as in production, so that a wrong password fails.
	password := randomHex()
	users := []string{
		"SET sql_log_bin = 0;",
		"CREATE OR REPLACE USER fanmill@'%' IDENTIFIED BY '" + password + "';",
		"GRANT ALL ON *.* TO fanmill@'%' WITH GRANT OPTION;",
		"ALTER USER root@localhost IDENTIFIED BY '" + password + "';",
	}
	if err := writeFile(m.file("users.sql"), strings.Join(users, "\n")+"\n"); err != nil {
		return err
	}
	cert, key, err := selfSigned()
	if err != nil {
		return err
	}
	if err := errors.Join(writeFile(m.file("server.crt"), cert), writeFile(m.file("server.key"), key)); err != nil {
		return err
	}
	m.caFile = m.file("server.crt")
	m.config = mysql.NewConfig()
	m.config.User, m.config.Passwd, m.config.Net = "fanmill", password, "tcp"
	// A free port may be taken between the moment it was found and the moment the server binds it.
	for range 3 {
		var port int
		if port, err = freePort(); err != nil {
			return err
		}
		m.config.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = m.launch(); err == nil {
			return nil
		}
	}
	return err
}

func (m *Maria) file(name string) string { return filepath.Join(m.dir, name) }

// launch starts the server on the configured port and returns when it accepts connections.
func (m *Maria) launch() error {
	_, port, err := net.SplitHostPort(m.config.Addr)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(m.file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(m.bin, program("mariadbd")), "--no-defaults",
		"--datadir="+dataFolder(m.dir),
		"--tmpdir="+m.file("tmp"),
		"--bind-address=127.0.0.1",
		"--port="+port,
		"--socket="+m.file("socket"),
		"--pid-file="+m.file("pid"),
		"--init-file="+m.file("users.sql"),
		"--ssl-cert="+m.file("server.crt"),
		"--ssl-key="+m.file("server.key"),
		"--skip-name-resolve",
		"--character-set-server=utf8mb4",
		"--max-connections=200",
		"--max-allowed-packet=64M",
		"--innodb-buffer-pool-size=256M",
		"--innodb-flush-log-at-trx-commit=0",
		"--innodb-doublewrite=0",
		"--skip-log-bin",
	)
	// The log is a file: a pipe would be held open, and "go test" would wait for it.
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, log, log
	if err := dropPrivileges(cmd); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.server = cmd
	if err := m.ready(); err != nil {
		m.kill()
		text, _ := os.ReadFile(m.file("log"))
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// ready waits until the server lets the administrator in.
func (m *Maria) ready() error {
	deadline := time.Now().Add(mariaStartLimit)
	for {
		err := m.Exec(context.Background(), m.DSN(), "DO 1")
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if data, _ := os.ReadFile(m.file("log")); strings.Contains(string(data), "[ERROR] Aborting") {
			return errors.New("the server gave up")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// kill ends the server's process at once.
func (m *Maria) kill() {
	if m.server == nil {
		return
	}
	_ = m.server.Process.Kill()
	_ = m.server.Wait() // says that it was killed
	m.server = nil
	_ = os.Remove(m.file("pid"))
}

// stopMariaDB is what the watchdog does: it ends the process whose number is in the file that the server wrote.
func stopMariaDB(_, dir string) {
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return // it never started, or was stopped
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

// Stop ends the server and removes its folder. A server that was there already stays.
func (m *Maria) Stop() error {
	if m.dog == nil {
		return nil
	}
	m.kill()
	return m.dog.stop()
}

// Crash ends the server at once, as a power failure would, and starts it again on the same port.
func (m *Maria) Crash() error {
	if m.dog == nil {
		return errors.New("crash mariadb: not our server")
	}
	m.kill()
	return m.launch()
}

// Config is the administrator's way to the server, without a database. The caller may change it.
func (m *Maria) Config() *mysql.Config { return m.config.Clone() }

// DSN is the administrator's, without a database.
func (m *Maria) DSN() string { return m.config.FormatDSN() }

// CAFile is a file with the certificate that vouches for the server's; "" if there is none.
func (m *Maria) CAFile() string { return m.caFile }

// CreateDatabase makes an empty database of this name and returns its DSN.
func (m *Maria) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := m.Exec(ctx, m.DSN(), "CREATE DATABASE "+backquote(name)+" CHARACTER SET utf8mb4"); err != nil {
		return "", err
	}
	c := m.Config()
	c.DBName = name
	return c.FormatDSN(), nil
}

// DropDatabase removes it, and whoever is still connected.
func (m *Maria) DropDatabase(ctx context.Context, name string) error {
	c := m.Config()
	c.DBName = name
	if err := m.TerminateSessions(ctx, c.FormatDSN()); err != nil {
		return err
	}
	return m.Exec(ctx, m.DSN(), "DROP DATABASE "+backquote(name))
}

// TerminateSessions ends every session on the database of a DSN, as an administrator would, and returns when they are gone.
func (m *Maria) TerminateSessions(ctx context.Context, dsn string) error {
	for {
		killed, err := m.kills(ctx, dsn, "KILL")
		if err != nil {
			return fmt.Errorf("terminate sessions: %w", err)
		}
		if killed == 0 {
			return nil
		}
	}
}

// CancelQueries ends what every session on the database of a DSN runs, as an administrator would.
func (m *Maria) CancelQueries(ctx context.Context, dsn string) error {
	if _, err := m.kills(ctx, dsn, "KILL QUERY"); err != nil {
		return fmt.Errorf("cancel queries: %w", err)
	}
	return nil
}

// kills gives a command for every session on the database of a DSN, and returns how many there are.
func (m *Maria) kills(ctx context.Context, dsn, command string) (sessions int, err error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return 0, errors.New("the DSN is not valid")
	}
	var ids []int64
	err = m.use(ctx, m.DSN(), func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT id FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()", c.DBName)
		if err != nil {
			return err
		}
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return errors.Join(err, rows.Close())
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for _, id := range ids {
			_, _ = db.ExecContext(ctx, fmt.Sprint(command, " ", id)) // it may be gone by now
		}
		return nil
	})
	return len(ids), err
}

// Exec runs statements, separated by semicolons, on the database of a DSN, in UTC.
func (m *Maria) Exec(ctx context.Context, dsn, statements string) error {
	return m.use(ctx, dsn, func(db *sql.DB) error {
		if _, err := db.ExecContext(ctx, statements); err != nil {
			return fmt.Errorf("execute %.200s: %w", statements, err)
		}
		return nil
	})
}

// use opens a connection, and closes it when f is done.
func (m *Maria) use(ctx context.Context, dsn string, f func(*sql.DB) error) error {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return errors.New("the DSN of the test server is not valid")
	}
	c.MultiStatements, c.InterpolateParams, c.Logger = true, true, &mysql.NopLogger{}
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	c.Params["time_zone"] = "'+00:00'"
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return errors.Join(f(db), db.Close())
}

func backquote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
