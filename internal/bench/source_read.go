package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	mssql "github.com/microsoft/go-mssqldb"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
	"fanmill/stages"
)

// The kinds of childRead: fanmill's own, and the loops that people write with a database's driver, which look at no value.
const (
	readStage       = "stage"        // into columns, which are dropped
	readEncode      = "encode"       // and the message of each batch is made
	readPgx         = "pgx"          // pgx: each row's raw values
	readMySQLText   = "mysql-text"   // go-sql-driver/mysql: rows of the text protocol
	readMySQLBinary = "mysql-binary" // and of a prepared statement
	readSQLite      = "sqlite"       // modernc.org/sqlite behind database/sql, scanned into any
	readMSSQL       = "mssql"        // go-mssqldb: rows of a prepared statement
)

var readers = map[string]func(ctx context.Context, driver, dsn, query string) (rows int, err error){
	readStage: func(ctx context.Context, driver, dsn, query string) (int, error) {
		return readColumns(ctx, driver, dsn, query, func(*columnar.Builder) error { return nil })
	},
	readEncode: func(ctx context.Context, driver, dsn, query string) (int, error) {
		return readColumns(ctx, driver, dsn, query, func(b *columnar.Builder) error {
			_, err := b.Encode()
			return err
		})
	},
	readPgx: readWithPgx,
	readMySQLText: func(ctx context.Context, _, dsn, query string) (int, error) {
		return readMySQL(ctx, dsn, func(c driver.Conn) (driver.Rows, error) {
			return c.(driver.QueryerContext).QueryContext(ctx, query, nil)
		})
	},
	readMySQLBinary: func(ctx context.Context, _, dsn, query string) (int, error) {
		return readMySQL(ctx, dsn, func(c driver.Conn) (driver.Rows, error) { return prepared(ctx, c, query) })
	},
	readSQLite: readWithDatabaseSQL,
	readMSSQL:  readWithMSSQL,
}

// reading is one reader's work, from connecting to the last row.
func reading(kind, driver, query string) (work func() (int, error), err error) {
	read := readers[kind]
	if read == nil {
		return nil, fmt.Errorf("nothing reads as %q", kind)
	}
	return func() (int, error) { return read(context.Background(), driver, os.Getenv(dsnVariable), query) }, nil
}

// batchBytes is where batches are cut: what the pipeline steers to with these rows, so that a message has about 384 KB.
const batchBytes = 768 << 10

// readColumns streams a query through its stage. each sees every batch that is not empty.
func readColumns(ctx context.Context, driver, dsn, query string, each func(*columnar.Builder) error) (rows int, err error) {
	d := stages.Kinds()[driver].Driver
	if d == nil {
		return 0, fmt.Errorf("there is no driver %q", driver)
	}
	s, err := d.Open(ctx, pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: query}}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	err = s.Stream(ctx, 0, columnar.NewBuilder(s.Columns(0)),
		func(b *columnar.Builder) bool { return b.Bytes() >= batchBytes },
		func(b *columnar.Builder) error {
			if b.Rows() == 0 {
				return nil
			}
			if err := each(b); err != nil {
				return err
			}
			rows += b.Rows()
			b.Reset()
			return nil
		})
	return rows, err
}

func readWithPgx(ctx context.Context, _, dsn, query string) (n int, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		if len(rows.RawValues()) > 0 {
			n++
		}
	}
	return n, rows.Err()
}

func readMySQL(ctx context.Context, dsn string, ask func(driver.Conn) (driver.Rows, error)) (int, error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return 0, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return 0, err
	}
	return readDriver(ctx, connector, ask)
}

func readWithMSSQL(ctx context.Context, _, dsn, query string) (int, error) {
	connector, err := mssql.NewConnector(dsn)
	if err != nil {
		return 0, err
	}
	return readDriver(ctx, connector, func(c driver.Conn) (driver.Rows, error) { return prepared(ctx, c, query) })
}

// readDriver reads a driver's own rows, without database/sql.
func readDriver(ctx context.Context, connector driver.Connector, ask func(driver.Conn) (driver.Rows, error)) (n int, err error) {
	conn, err := connector.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	rows, err := ask(conn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	for ; ; n++ {
		switch err := rows.Next(values); {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// prepared runs a prepared statement. The connection that is closed soon takes it along.
func prepared(ctx context.Context, c driver.Conn, query string) (driver.Rows, error) {
	stmt, err := c.Prepare(query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtQueryContext).QueryContext(ctx, nil)
}

func readWithDatabaseSQL(ctx context.Context, _, dsn, query string) (n int, err error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	for ; rows.Next(); n++ {
		if err := rows.Scan(targets...); err != nil {
			return n, err
		}
	}
	return n, rows.Err()
}
