package stages

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"fanmill/pipeline"
)

// mysqlServerError is an error as a server reports it.
type mysqlServerError struct {
	number  uint16
	state   string // SQLSTATE; "" from servers that are too busy to say
	message string
}

// mysqlErrorPacket reads an error [MySQL Internals, "ERR_Packet"].
func mysqlErrorPacket(body []byte) error {
	r := mysqlReader{b: body[1:]}
	e := &mysqlServerError{number: r.uint16()}
	if len(r.b) > 5 && r.b[0] == '#' {
		e.state = string(r.bytes(6)[1:])
	}
	e.message = string(r.b)
	return e
}

func (e *mysqlServerError) Error() string {
	if e.state == "" {
		return fmt.Sprintf("%s (error %d)", e.message, e.number)
	}
	return fmt.Sprintf("%s (error %d, SQLSTATE %s)", e.message, e.number, e.state)
}

// mysqlError classifies an error of op, with the database's own message and without secrets. What is not the server's
// word is trouble on the way, worth another try.
func mysqlError(op string, err error, secrets []string) error {
	var server *mysqlServerError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var large rowTooLarge
	var auth *mysqlAuthError
	hint, permanent := "", true
	switch {
	case errors.As(err, &server):
		permanent, hint = !server.transient(), server.hint()
	case errors.As(err, &cert), errors.As(err, &host), errors.As(err, &authority):
		hint = "; " + certificateAdvice(err, "write the host as one of these", "tlsca=FILE names the authority (or the server's own certificate) to trust; "+
			"tls=skip-verify trusts any, also that of somebody in between who reads and changes everything")
	case tlsRefused(err):
		hint = "; tlsmin in the DSN names the oldest TLS that is accepted (1.2 without it): a lower one lets the server in; " +
			"that before 1.2, such as tlsmin=1.0, is not safe against somebody who listens in"
	case errors.Is(err, errNoMySQLTLS), errors.As(err, &auth), errors.As(err, &large):
	case errors.As(err, &record):
		hint = "; is there a MySQL server on this port?"
	case errors.Is(err, io.ErrUnexpectedEOF):
		err, permanent = fmt.Errorf("the server closed the connection: %w", err), false
	default:
		permanent = false
	}
	err = redacted(fmt.Errorf("%s: %w%s", op, err, hint), secrets)
	if server != nil && server.limit() {
		return pipeline.OnceMore(err)
	}
	if server != nil && server.login() {
		return pipeline.Login(err)
	}
	if permanent && !errors.Is(err, context.Canceled) {
		return pipeline.Permanent(err)
	}
	return pipeline.Transient(err)
}

// tlsRefused reports whether the two sides found no version of TLS or no cipher in common. crypto/tls has no types
// for that.
func tlsRefused(err error) bool {
	text := err.Error()
	for _, reason := range []string{"tls: server selected unsupported protocol version", "tls: protocol version not supported", "tls: handshake failure", "tls: no supported versions"} {
		if strings.Contains(text, reason) {
			return true
		}
	}
	return false
}

// hint says what to do about errors that a setting cures.
func (e *mysqlServerError) hint() string {
	switch e.number {
	case 3159, 4151: // require_secure_transport, of MySQL and MariaDB
		return "; tls=true encrypts and checks the server's certificate, tls=skip-verify does not check it, so that somebody in between can read and change everything"
	case 1129: // too many failed connections
		return "; the server's administrator lifts this with FLUSH HOSTS"
	case 3024:
		return "; max_execution_time, a setting of the server, bounds the time of a query, in milliseconds; max_execution_time=0 in the DSN lifts it for fanmill's sessions alone; or ask for less: fewer rows, an index"
	case 1969:
		return "; max_statement_time, a setting of the server or of this user, bounds the time of a query, in seconds; max_statement_time=0 in the DSN lifts it for fanmill's sessions alone; or ask for less: fewer rows, an index"
	case 1104: // ER_TOO_BIG_SELECT
		return "; max_join_size, a setting of the server, bounds how many rows a query may look at; sql_big_selects=1 in the DSN lifts it for fanmill's sessions alone"
	case 1205:
		return "; innodb_lock_wait_timeout (lock_wait_timeout for whole tables), settings of the server, bound how long a query waits for a lock of somebody else, in seconds; the same names in the DSN raise them"
	default:
		return ""
	}
}

// limit reports whether a limit of the server's for the time of a statement has ended it.
func (e *mysqlServerError) limit() bool { return e.number == 1969 || e.number == 3024 }

// login reports whether the server refuses the login: its name and password (1045, 1698), or the host that it comes
// from (1130).
func (e *mysqlServerError) login() bool {
	return e.number == 1045 || e.number == 1698 || e.number == 1130
}

// transient tells by its number or SQLSTATE whether an error may pass [MySQL, "Server Error Message Reference";
// MariaDB, "Error Codes"]. Logins, missing databases, tables and columns, syntax, missing rights and whatever else a
// server says stay.
func (e *mysqlServerError) transient() bool {
	switch e.number {
	case 1021, 1114, // disk full, or a temporary table
		1030,                   // the storage engine's own error
		1037, 1038, 1041, 1135, // out of memory, no thread
		1203, 1226, // too many connections of this user
		1205, 1206, 1213, // lock wait, too many locks, deadlock
		1317, 1927, 3169, // somebody killed the query, or the session
		3032, 3168, // the server is in offline mode, or not available yet
		2002, 2003, 2006, 2013, 9001, // a proxy has lost its server, or does not reach it
		1412, 1615, // a table was altered meanwhile
		1637,       // too many transactions
		1969, 3024, // limits
		3572, 3058, // locks
		4031: // idle for too long
		return true
	}
	for _, class := range []string{
		"08", // the connection: too many, shutting down, network errors, a cluster's node that is not ready
		"40", // rolled back
		"70", // killed
	} {
		if strings.HasPrefix(e.state, class) {
			return true
		}
	}
	return e.number == 1040 || e.number == 1053 // too many connections, shutting down, before there is an SQLSTATE
}
