package testdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// PG is a PostgreSQL server for tests.
type PG struct {
	dsn string // of the administrator, on the database postgres
	bin string // folder of the programs; "" for a server that was there already
	dir string
	tls bool
	dog *watchdog
}

// StartPostgres starts a private server in a new folder below dir (the system's temporary folder if dir is ""). It trades
// durability for speed. Stop ends it; so does the end of this process.
func StartPostgres(dir string) (_ *PG, err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp(dir, "fanmill-postgres-")
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	pg := &PG{bin: bin, dir: home}
	if pg.dog, err = startWatchdog("postgres", bin, home); err != nil {
		_ = os.RemoveAll(home)
		return nil, err
	}
	if err = pg.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), pg.dog.stop())
	}
	return pg, nil
}

func (pg *PG) start() error {
	if err := giveAway(pg.dir); err != nil {
		return err
	}
	password := randomHex()
	pwfile := filepath.Join(pg.dir, "password")
	if err := writeFile(pwfile, password); err != nil {
		return err
	}
	// Logins are checked as in production, so that a wrong password fails.
	if err := pg.run("initdb", "-D", dataFolder(pg.dir), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", pwfile,
		"-E", "UTF8", "--locale", "C", "--no-sync"); err != nil {
		return err
	}
	if err := pg.certify(); err != nil {
		return err
	}
	// A free port may be taken between the moment it was found and the moment the server binds it.
	var err error
	for range 3 {
		var port int
		if port, err = freePort(); err != nil {
			return err
		}
		if err = pg.launch(port); err == nil {
			u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Path: "/postgres",
				Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), RawQuery: "sslmode=disable"}
			pg.dsn = u.String()
			return nil
		}
	}
	return err
}

// launch starts the server on a port and returns when it accepts connections.
func (pg *PG) launch(port int) error {
	options := map[string]string{
		"port":                    strconv.Itoa(port),
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"fsync":                   "off",
		"synchronous_commit":      "off",
		"full_page_writes":        "off",
		"autovacuum":              "off", // nothing runs beside a test or a measurement
		"max_connections":         "200",
		"shared_buffers":          "256MB",
	}
	if pg.tls {
		options["ssl"] = "on"
	}
	var conf strings.Builder
	for k, v := range options {
		fmt.Fprintf(&conf, "%s = '%s'\n", k, v)
	}
	if err := writeFile(filepath.Join(dataFolder(pg.dir), "postgresql.auto.conf"), conf.String()); err != nil {
		return err
	}
	log := filepath.Join(pg.dir, "log")
	if err := pg.run("pg_ctl", "-D", dataFolder(pg.dir), "-l", log, "-w", "-t", "60", "start"); err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("%w\n%s", err, text)
	}
	return nil
}

// run runs one of PostgreSQL's programs to its end.
func (pg *PG) run(name string, args ...string) error {
	return runProgram(pg.bin, pg.dir, name, []string{"LC_ALL=C", "PGOPTIONS="}, args...)
}

// stopPostgres is what the watchdog does.
func stopPostgres(bin, dir string) {
	// pg_ctl finds no server if it never started; either way the folder goes.
	_ = runProgram(bin, dir, "pg_ctl", nil, "-D", dataFolder(dir), "-m", "immediate", "-w", "-t", "20", "stop")
}

// Stop ends the server and removes its folder. A server that was there already stays.
func (pg *PG) Stop() error {
	if pg.dog == nil {
		return nil
	}
	return pg.dog.stop()
}

// Crash ends every process of the server at once, as a power failure would, and starts it again on the same port.
func (pg *PG) Crash() error {
	if pg.dog == nil {
		return errors.New("crash postgres: not our server")
	}
	data := dataFolder(pg.dir)
	if err := pg.run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"); err != nil {
		return fmt.Errorf("crash postgres: %w", err)
	}
	return pg.run("pg_ctl", "-D", data, "-l", filepath.Join(pg.dir, "log"), "-w", "start")
}

// DSN is the administrator's, on the database postgres.
func (pg *PG) DSN() string { return pg.dsn }

// TLS reports whether the server speaks TLS (with a certificate of its own making).
func (pg *PG) TLS() bool { return pg.tls }

// Psql is the path of the psql program, for comparisons.
func (pg *PG) Psql() (string, error) {
	if pg.bin != "" && isProgram(pg.bin, "psql") {
		return filepath.Join(pg.bin, program("psql")), nil
	}
	return exec.LookPath("psql")
}

// CreateDatabase makes an empty database of this name and returns its DSN.
func (pg *PG) CreateDatabase(ctx context.Context, name string) (string, error) {
	if err := pg.Exec(ctx, pg.dsn, "CREATE DATABASE "+quote(name)); err != nil {
		return "", err
	}
	return withDatabase(pg.dsn, name)
}

// DropDatabase removes it, and whoever is still connected.
func (pg *PG) DropDatabase(ctx context.Context, name string) error {
	dsn, err := withDatabase(pg.dsn, name)
	if err != nil {
		return err
	}
	if err := pg.TerminateSessions(ctx, dsn); err != nil {
		return err
	}
	return pg.Exec(ctx, pg.dsn, "DROP DATABASE "+quote(name))
}

// TerminateSessions ends every other session on the database of a DSN, as an administrator would, and returns when they are
// gone.
func (pg *PG) TerminateSessions(ctx context.Context, dsn string) error {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for {
		res, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").ReadAll()
		if err != nil {
			return fmt.Errorf("terminate sessions: %w", err)
		}
		if len(res[0].Rows) == 0 {
			return nil
		}
	}
}

// Exec runs statements on the database of a DSN.
func (pg *PG) Exec(ctx context.Context, dsn, sql string) error {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("execute %.200s: %w", sql, err)
	}
	return nil
}

// withDatabase is dsn on another database; dsn is a URL or a list of key=value.
func withDatabase(dsn, name string) (string, error) {
	if !strings.Contains(dsn, "://") {
		return dsn + " dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'", nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("the DSN in " + EnvPostgres + " is not a valid URL")
	}
	u.Path = "/" + name
	return u.String(), nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
