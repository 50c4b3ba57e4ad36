package stages

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"

	"fanmill/pipeline"
)

// sqlserverError classifies an error of op, with the server's own message and without secrets. What is no message of the server is
// trouble on the way: refused, reset, timed out, a name that did not resolve (branches behind a VPN come back), all worth another
// try.
func sqlserverError(op string, err error, secrets []string) error {
	var server mssql.Error
	var stream mssql.StreamError
	switch {
	case errors.Is(err, pipeline.ErrPermanent), errors.Is(err, pipeline.ErrTransient):
		return fmt.Errorf("%s: %w", op, err)
	case errors.As(err, &server):
		messages := sqlserverMessagesOf(server)
		err := redacted(fmt.Errorf("%s: %w", op, messages), secrets)
		switch {
		case messages.limit():
			return pipeline.OnceMore(err)
		case messages.transient():
			return pipeline.Transient(err)
		}
		return pipeline.Permanent(err)
	case errors.As(err, &stream) && errors.Is(stream.InnerError, io.EOF), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%s: the server closed the connection: %w", op, io.ErrUnexpectedEOF)
	default:
		err = fmt.Errorf("%s: %w", op, err)
	}
	return pipeline.Transient(redacted(err, secrets))
}

// isSQLServerMessage reports whether err is what the server said, on a connection that is still good.
func isSQLServerMessage(err error) bool {
	var server mssql.Error
	var fatal mssql.ServerError
	return errors.As(err, &server) && !errors.As(err, &fatal)
}

// sqlserverMessages is what a server had to say about one request, first to last.
type sqlserverMessages []mssql.Error

func sqlserverMessagesOf(e mssql.Error) sqlserverMessages {
	if len(e.All) == 0 {
		return sqlserverMessages{e}
	}
	return e.All
}

// Error prints the messages as "Invalid object name 'sales' (error 208)".
func (m sqlserverMessages) Error() string {
	var said []string
	for _, e := range m {
		text := strings.TrimPrefix(e.Message, "login error: ") // the driver's, not the server's
		if e.Number != 0 {
			text = fmt.Sprintf("%s (error %d)", text, e.Number)
		}
		if !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	text := strings.Join(said, "; ")
	for _, e := range m {
		if advice := sqlserverAdvice(e.Number); advice != "" {
			text += "; " + advice
		}
	}
	return text
}

// sqlserverAdvice says what to do about an error whose message does not.
func sqlserverAdvice(number int32) string {
	switch number {
	case 3952:
		return sqlserverSnapshotAdvice("")
	case 976, 979: // a replica that nobody may read, or not with this intent
		return "applicationIntent=ReadWrite in the DSN asks the primary replica"
	case 1222:
		return "LOCK_TIMEOUT, which the query or a procedure of its sets, bounds how long it waits for a lock of somebody else"
	case 8649:
		return "the query governor refuses queries by their estimated cost: the administrator raises \"query governor cost limit\" (sp_configure), or ask for less: fewer rows, an index"
	case 8645, 8651, 8657:
		return "Resource Governor bounds the memory of a query, by the workload group and the resource pool of this login: the administrator raises REQUEST_MAX_MEMORY_GRANT_PERCENT or puts " +
			"the login into another group; or ask for less: a narrower sort, an index"
	case 40549, 40550, 40551, 40552, 40553:
		return "this is a limit of Azure SQL Database for one session: ask for less in one query, or choose a larger service tier"
	}
	return ""
}

// sqlserverPassing are the errors that may pass [SQL Server, "Database Engine events and errors"; Azure SQL, "Troubleshoot transient
// connection errors"]. Logins (18456), databases (4060), tables (208), columns (207), permissions (229), syntax (102), bad data and
// whatever else a server says stay.
var sqlserverPassing = []int32{
	-2, 20, 64, 121, 233, 10053, 10054, 10060, // the network's, passed on
	596,                     // somebody ended the session
	601,                     // data moved under an unlocked read
	615, 4221, 40143, 40166, // a replica is being moved
	701, 802, 8645, 8651, 845, // short of memory
	1203, 1204, 1205, 1222, // locks: too many, deadlock, timeout
	921, 922, 927, 983, // the database is starting, being restored, changing its role
	3960, 3961, // a snapshot met a change
	6005, 17142, 17197, 18401, // shutting down, paused, too slow to log in, being upgraded
	10928, 10929, 10936, 40197, 40501, 40540, 40613, 49918, 49919, 49920, // Azure is busy
}

// sqlserverLimits are what a server lets no query do, whenever it is asked: an estimated cost (8649), a grant of memory (8657), and what
// Azure bounds by the session: time of a transaction, locks, tempdb, log, memory.
var sqlserverLimits = []int32{8649, 8657, 40549, 40550, 40551, 40552, 40553}

// limit reports whether one of the messages is about a limit of the server's.
func (m sqlserverMessages) limit() bool {
	return slices.ContainsFunc(m, func(e mssql.Error) bool { return slices.Contains(sqlserverLimits, e.Number) })
}

// sqlserverSevere is the first severity class that is about the server and not about the request: out of resources, broken, fatal.
const sqlserverSevere = 17

// transient tells whether one of the messages is about something that may pass.
func (m sqlserverMessages) transient() bool {
	return slices.ContainsFunc(m, func(e mssql.Error) bool {
		return e.Class >= sqlserverSevere || slices.Contains(sqlserverPassing, e.Number)
	})
}

// Words of the driver, which gives these errors no type.
const (
	sqlserverHandshakeFailed = "TLS Handshake failed"
	sqlserverNoEncryption    = "server does not support encryption"
	sqlserverNoInstance      = "no instance matching"
)

// Settings that let a branch in, each with its price where it has one.
const (
	sqlserverTrustAdvice = "the server's certificate is not one that this machine trusts: certificate=<file>.pem names the one to trust; " +
		"trustServerCertificate=true trusts any, so that whoever stands in between can read the password and the rows"
	sqlserverOldTLSAdvice = "if the server is older than 2016, tlsmin=1.0 accepts its TLS, which can be broken; encrypt=disable does without, " +
		"so that the password and the rows can be read on the way: only within a VPN"
	sqlserverInstanceAdvice = "the host's SQL Server Browser (UDP port 1434), which tells the port of an instance, knows none of this name or could not be reached: " +
		"give the port instead of the instance"
	sqlserverInsistsAdvice = "the server insists on encryption, which encrypt=disable forbids: leave that out"
	sqlserverStrictAdvice  = "encrypt=strict is for SQL Server 2022 and later: encrypt=true encrypts everything with older ones, too"
	sqlserverPlainAdvice   = "the server has no TLS: encrypt=disable does without, so that the password and the rows can be read on the way: only within a VPN"
)

// sqlserverConnectError is sqlserverError for a connection that did not come about.
func sqlserverConnectError(op string, err error, link *sqlserverLink, t *sqlserverTarget) error {
	advise := func(advice string) error {
		return redacted(fmt.Errorf("%s: %w; %s", op, err, advice), t.secrets)
	}
	handshake := sqlserverOldTLSAdvice
	switch t.config.Encryption {
	case msdsn.EncryptionDisabled:
		handshake = sqlserverInsistsAdvice
	case msdsn.EncryptionStrict:
		handshake = sqlserverStrictAdvice
	}
	text := err.Error()
	switch {
	case link.refused.Load():
		return pipeline.Permanent(advise(sqlserverTrustAdvice))
	case strings.Contains(text, sqlserverHandshakeFailed) && link.broken.Load(): // as Windows says no; or the network
		return pipeline.Transient(advise(handshake))
	case strings.Contains(text, sqlserverHandshakeFailed):
		return pipeline.Permanent(advise(handshake))
	case strings.Contains(text, sqlserverNoInstance): // the browser may be down, as the server may
		return pipeline.Transient(advise(sqlserverInstanceAdvice))
	case strings.Contains(text, sqlserverNoEncryption):
		return pipeline.Permanent(advise(sqlserverPlainAdvice))
	default:
		return sqlserverError(op, err, t.secrets)
	}
}
