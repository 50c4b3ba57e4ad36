package stages

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/pipeline"
)

// pgError classifies an error of op, with the database's own message and without secrets. What has no SQLSTATE is
// trouble on the way: refused, reset, timed out, a name that did not resolve (branches behind a VPN come back), all
// worth another try. Once ctx has ended, that is the error.
func pgError(ctx context.Context, op string, err error, secrets []string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	var server *pgconn.PgError
	var cert *tls.CertificateVerificationError
	var host x509.HostnameError
	var large rowTooLarge
	switch {
	case errors.As(err, &server):
		var hint hinted
		errors.As(err, &hint)
		err = redacted(fmt.Errorf("%s: %w%s%s", op, pgServerError{server}, pgAdvice(server), hint.hint), secrets)
		switch {
		case pgLimit(server) != "":
			return pipeline.OnceMore(err)
		case pgTransient(server):
			return pipeline.Transient(err)
		case pgLogin(server):
			return pipeline.Login(err)
		}
		return pipeline.Permanent(err)
	case errors.As(err, &cert), errors.As(err, &host):
		return pipeline.Permanent(redacted(fmt.Errorf("%s: %w; %s", op, err, certificateAdvice(err,
			"write the host as one of these; sslmode=verify-ca accepts any name, so that any server with a certificate of that authority may pretend to be this one",
			"sslrootcert=FILE names the authority to trust; sslmode=require trusts whoever answers, also one who pretends to be the server and reads along")), secrets))
	case strings.Contains(err.Error(), "server refused TLS"): // pgconn has no type for it
		return pipeline.Permanent(redacted(fmt.Errorf("%s: %w; sslmode=disable connects without encryption: whoever is on the way can read and change the rows", op, err), secrets))
	case strings.Contains(err.Error(), "protocol version"): // nor crypto/tls for this
		return pipeline.Permanent(redacted(fmt.Errorf("%s: %w; ssl_min_protocol_version in the DSN names the oldest TLS that is accepted (TLSv1.2 without it): "+
			"a lower one lets the server in; that before TLSv1.2, such as ssl_min_protocol_version=TLSv1, a determined listener can break", op, err), secrets))
	case errors.As(err, &large):
		return pipeline.Permanent(fmt.Errorf("%s: %w", op, err))
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%s: the server closed the connection: %w", op, err)
	default:
		err = fmt.Errorf("%s: %w", op, reworded(err, pgOneLine(err.Error())))
	}
	return pipeline.Transient(redacted(err, secrets))
}

// pgOneLine makes one line of the driver's several: one for each address that it has tried, first with encryption and
// then, where sslmode allows that, without. What both met is said once.
func pgOneLine(text string) string {
	first, tries, several := strings.Cut(text, ":\n\t")
	if !several {
		return strings.ReplaceAll(text, "\n", " ")
	}
	var said []string
	for _, try := range strings.Split(tries, "\n\t") {
		try = strings.ReplaceAll(try, "\n", " ")
		if !slices.ContainsFunc(said, func(s string) bool { return strings.HasSuffix(s, try) }) {
			said = append(said, try)
		}
	}
	return first + ": " + strings.Join(said, "; ")
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

// hinted is an error with something to add behind the server's words.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// pgAdvice names the setting that would get around an error.
func pgAdvice(e *pgconn.PgError) string {
	if limit := pgLimit(e); limit != "" {
		return "; " + limit
	}
	switch {
	case pgSaid(e, "55P03", "lock timeout"):
		return "; lock_timeout, a setting of the server, its database or this user, bounds how long a query waits for a table that somebody has locked; lock_timeout=0 in the DSN waits " +
			"until the query timeout"
	case e.Code == "28000" && strings.HasSuffix(e.Message, "no encryption"), e.Code == "28000" && strings.HasSuffix(e.Message, "SSL off"):
		return "; sslmode=require encrypts, sslmode=verify-full also checks who answers"
	case strings.Contains(e.Message, "statement pooling mode"):
		return "; queries run in one read-only transaction: use a pool with pool_mode=transaction or session"
	default:
		return ""
	}
}

// poolerRefusals are what PgBouncer says in words alone: with the same SQLSTATE, 08P01, it passes on that a server is
// down.
var poolerRefusals = []string{"authentication failed", "no such database", "no such user", "no password found", "bouncer config error", "statement pooling mode", "unsupported startup parameter", "SSL required"}

// pgLogin reports whether the server refuses the login: its password (28P01), or its role or host by pg_hba.conf
// (28000).
func pgLogin(e *pgconn.PgError) bool { return strings.HasPrefix(e.Code, "28") }

// pgTransient tells by its SQLSTATE whether an error may pass [PostgreSQL, appendix A]. Logins (28), missing
// databases (3D) and tables, syntax (42), bad data (22), writes in a read-only transaction (25) and whatever else a
// server says stay.
func pgTransient(e *pgconn.PgError) bool {
	code := e.Code
	switch code {
	case "57P04": // somebody has dropped the database
		return false
	case "08P01": // the protocol was broken, or a pooler speaks
		for _, words := range poolerRefusals {
			if strings.Contains(e.Message, words) {
				return false
			}
		}
		return true
	case "57014", // cancelled: by a person, a timeout, or a standby that had to go on
		"55P03", "55006", // somebody holds a lock
		"25P03",          // idle too long in the transaction
		"58000", "58030", // system and disk errors
		"72000", // the snapshot was too old
		"HV00N", // a foreign server could not be reached
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

// pgLimit names the limit of the server's, or of a pooler's, that ended a query for the time that it took, and what
// to do about it; "" if none did. The words of a server are in its language (lc_messages): what is cancelled and not
// known to be a person's or a standby's doing is taken for the limit, which most likely it is.
func pgLimit(e *pgconn.PgError) string {
	const (
		lift   = "ALTER ROLE <this user> SET %[1]s = 0 lifts it for fanmill's user, %[1]s=0 in the DSN for its sessions alone (where no pooler stands between)"
		server = "%[1]s, a setting of the server, its database or this user, bounds %[2]s; " + lift + "; or ask for less: fewer rows, an index"
		pooler = "%[1]s, a setting of PgBouncer (pgbouncer.ini, SHOW CONFIG), bounds %[2]s; raise it there, or for a user or database of fanmill's own, or connect without the pooler"
	)
	switch {
	case e.Code == "57014" && !pgSaid(e, e.Code, "user request") && !pgSaid(e, e.Code, "recovery"):
		return fmt.Sprintf(server, "statement_timeout", "the time of a query")
	case e.Code == "25P04":
		return fmt.Sprintf(server, "transaction_timeout", "the time of a transaction: of all queries of the connection together")
	case e.Code == "25P03":
		return fmt.Sprintf(server, "idle_in_transaction_session_timeout", "the time that a transaction may wait between two queries")
	case pgSaid(e, "08P01", "query timeout"), pgSaid(e, "08P01", "query_timeout"):
		return fmt.Sprintf(pooler, "query_timeout", "the time of a query")
	case pgSaid(e, "08P01", "idle transaction timeout"), pgSaid(e, "08P01", "idle_transaction_timeout"):
		return fmt.Sprintf(pooler, "idle_transaction_timeout", "the time that a transaction may wait between two queries")
	case pgSaid(e, "08P01", "transaction timeout"), pgSaid(e, "08P01", "transaction_timeout"):
		return fmt.Sprintf(pooler, "transaction_timeout", "the time of a transaction: of all queries of the connection together")
	case pgSaid(e, "08P01", "client_idle_timeout"):
		return fmt.Sprintf(pooler, "client_idle_timeout", "the time that a client may ask nothing")
	}
	return ""
}

// pgSaid reports whether a server said these words with this SQLSTATE.
func pgSaid(e *pgconn.PgError, code, words string) bool {
	return e.Code == code && strings.Contains(strings.ToLower(e.Message), words)
}
