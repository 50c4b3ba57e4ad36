package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"fanmill/internal/minitds"
	"fanmill/internal/testdb"
)

// source is a database to read from.
type source struct {
	name  string
	start func(ctx context.Context, b *bench) (*database, error) // the error of one that is not there says how to get it
}

var sources = []source{
	{"PostgreSQL", startPostgresSource},
	{"MariaDB", startMySQLSource},
	{"SQLite", startSQLiteSource},
	{"SQL Server", startSQLServerSource},
}

// database is a source that is running and has the table.
type database struct {
	driver, dsn, query string
	peers              []peer // the driver's own loops
	note               string // what is to be known about the figures
	stop               func() error
}

// peer is a loop that people write with a driver.
type peer struct{ name, kind, dsn string }

func startPostgresSource(_ context.Context, b *bench) (*database, error) {
	if b.pg == nil {
		return nil, b.why
	}
	return &database{driver: "postgres", dsn: b.pg.dsn, query: "select * from " + whole, peers: []peer{{"pgx, raw rows", readPgx, b.pg.dsn}},
		stop: func() error { return nil }}, nil
}

// startMySQLSource takes the server of FANMILL_TEST_MYSQL or starts a private one, and makes the table in a database of its own.
func startMySQLSource(ctx context.Context, b *bench) (*database, error) {
	dsn, stop := os.Getenv(testdb.EnvMySQL), func() error { return nil }
	if dsn == "" {
		m, err := testdb.StartMariaDB(b.dir)
		if err != nil {
			return nil, err
		}
		dsn, stop = m.DSN(), m.Stop
	}
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s is not a DSN of the form user:password@tcp(host:port)/", testdb.EnvMySQL), stop())
	}
	c.DBName = ""
	admin := c.Clone()
	admin.MultiStatements = true
	drop := func() error {
		return errors.Join(execMySQL(context.WithoutCancel(ctx), admin, "DROP DATABASE IF EXISTS "+schema), stop())
	}
	if err := execMySQL(ctx, admin, "DROP DATABASE IF EXISTS "+schema+"; CREATE DATABASE "+schema+" CHARACTER SET utf8mb4;"+mysqlTable(whole, b.rows)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the table: %w", err), drop())
	}
	c.DBName = schema
	dsn = c.FormatDSN()
	return &database{driver: "mysql", dsn: dsn, query: "select * from sale", stop: drop,
		peers: []peer{{"go-sql-driver, text protocol", readMySQLText, dsn}, {"go-sql-driver, binary protocol", readMySQLBinary, dsn}}}, nil
}

func execMySQL(ctx context.Context, c *mysql.Config, statements string) error {
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	_, err = db.ExecContext(ctx, statements)
	return errors.Join(err, db.Close())
}

func startSQLiteSource(ctx context.Context, b *bench) (*database, error) {
	path := filepath.Join(b.tmp, "sale.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // the pragmas are the connection's
	_, err = db.ExecContext(ctx, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"+sqliteTable(b.rows))
	stop := func() error { return os.Remove(path) }
	if err = errors.Join(err, db.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("make the table: %w", err), stop())
	}
	return &database{driver: "sqlite", dsn: path, query: "select * from sale", peers: []peer{{"modernc.org/sqlite, database/sql", readSQLite, path}}, stop: stop}, nil
}

// startSQLServerSource starts a server that speaks SQL Server's protocol, in a process of its own.
func startSQLServerSource(_ context.Context, b *bench) (*database, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, childCommand, childServe, strconv.Itoa(b.rows)) // it ends with us, however we do
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error { return errors.Join(in.Close(), cmd.Wait()) }
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), stop())
	}
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword("fanmill", "fanmill"), Host: strings.TrimSpace(address), RawQuery: "encrypt=disable"}
	dsn := u.String()
	return &database{driver: "sqlserver", dsn: dsn, query: sqlserverQuery, stop: stop,
		note:  "a server of ours that speaks its protocol and computes nothing",
		peers: []peer{{"go-mssqldb, packets of 4096", readMSSQL, dsn}, {"go-mssqldb, packets of 8000", readMSSQL, dsn + "&packet+size=8000"}}}, nil
}

const (
	sqlserverQuery = "select * from sale"
	sqlserverBlock = 10_000 // different rows; they are encoded once, so that sending them costs next to nothing
)

// serveAsChild is the server's process: it says where it listens, and lives until nobody holds its standard input any more.
func serveAsChild(count string, in io.Reader, out io.Writer) error {
	rows, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	block := make([][]any, min(rows, sqlserverBlock))
	for i := range block {
		block[i] = make([]any, len(sqlserverColumns))
		sqlserverRow(i+1, block[i])
	}
	answer := minitds.Answer{Columns: sqlserverColumns, Rows: block, Times: rows / len(block), Count: rows % len(block),
		Make: func(n int, row []any) { sqlserverRow(n+1, row) }}
	s, err := minitds.Start(minitds.Config{}, minitds.Script{sqlserverQuery: answer}.Handler())
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := fmt.Fprintln(out, s.Addr()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}
