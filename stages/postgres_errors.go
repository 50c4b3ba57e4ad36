package stages

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/pipeline"
)

// pgError classifies an error of op, with the database's own message and without secrets. What has no SQLSTATE is trouble on
// the way: refused, reset, timed out, a name that did not resolve (branches behind a VPN come back), all worth another try.
func pgError(op string, err error, secrets []string) error {
	var server *pgconn.PgError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var large rowTooLarge
	switch {
	case errors.As(err, &server):
		err = redacted(fmt.Errorf("%s: %w", op, pgServerError{server}), secrets)
		if pgTransient(server.Code) {
			return pipeline.Transient(err)
		}
		return pipeline.Permanent(err)
	case errors.As(err, &cert), errors.As(err, &host):
		return pipeline.Permanent(redacted(fmt.Errorf("%s: %w; sslrootcert names the authority to trust, sslmode=require trusts any", op, err), secrets))
	case errors.As(err, &large):
		return pipeline.Permanent(fmt.Errorf("%s: %w", op, err))
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%s: the server closed the connection: %w", op, err)
	default:
		err = fmt.Errorf("%s: %w", op, err)
	}
	return pipeline.Transient(redacted(err, secrets))
}

// pgServerError prints a message of the server the way psql does, on one line.
type pgServerError struct{ *pgconn.PgError }

func (e pgServerError) Error() string {
	var b strings.Builder
	b.WriteString(e.Message)
	for _, extra := range []string{e.Detail, e.Hint} {
		if extra != "" {
			b.WriteString("; ")
			b.WriteString(extra)
		}
	}
	if e.Position > 0 {
		fmt.Fprintf(&b, "; at character %d", e.Position)
	}
	fmt.Fprintf(&b, " (SQLSTATE %s)", e.Code)
	return b.String()
}

func (e pgServerError) Unwrap() error { return e.PgError }

// pgTransient tells by its SQLSTATE whether an error may pass [PostgreSQL, appendix A]. Logins (28), missing databases (3D) and
// tables, syntax (42), bad data (22), writes in a read-only transaction (25) and whatever else a server says stay.
func pgTransient(code string) bool {
	switch code {
	case "57014", // cancelled: by a person, a timeout, or a standby that had to go on
		"55P03", "55006", // somebody holds a lock
		"25P03",          // idle too long in the transaction
		"58000", "58030", // system and disk errors
		"XX000": // an internal error, such as a table that went away between two looks
		return true
	}
	for _, class := range []string{
		"08",   // the connection
		"40",   // rolled back: deadlock, serialization, recovery conflict
		"53",   // out of memory, disk, connections
		"57P0", // shutting down, crashed, starting up
	} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}
