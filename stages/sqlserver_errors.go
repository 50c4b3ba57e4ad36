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

// sqlserverError classifies an error of op, with the server's own message and without secrets. What is no message of
// the server is trouble on the way: refused, reset, timed out, a name that did not resolve (branches behind a VPN
// come back), all worth another try.
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
		case messages.login():
			return pipeline.Login(err)
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
	case 266, 3902, 3903, 3930, 3998:
		return "the query runs in a transaction that fanmill begins and rolls back, so that nothing of it is kept: what it calls must end only what it has begun itself"
	case 978: // a replica for readers
		return "leave applicationIntent=ReadWrite out of the DSN: the replica answers readers only"
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

// sqlserverPassing are the errors that may pass [SQL Server, "Database Engine events and errors"; Azure SQL,
// "Troubleshoot transient connection errors"]. Logins (18456), databases (4060, 911, 926: suspect), tables (208),
// columns (207), permissions (229), syntax (102), bad data and whatever else a server says stay.
var sqlserverPassing = []int32{
	-2, 20, 64, 121, 233, 10053, 10054, 10060, 10061, 11001, // the network's, passed on
	596,      // somebody ended the session
	601, 617, // data moved under an unlocked read
	615, 4221, 40143, 40166, 40540, // a replica is being moved
	669, 701, 802, 845, 8628, 8645, 8651, // short of memory
	1203, 1204, 1205, 1206, 1221, 1222, 1807, // locks: too many, deadlock, timeout
	904, 913, 921, 922, 924, 927, 941, 942, 945, 952, // the database is starting, being recovered or restored, in transition, offline, in one user's hands
	954, 955, 982, 983, 988, // a mirror or a replica that is changing its role, or has no quorum
	3935, 3960, 3961, 3966, // a snapshot met a change
	41301, 41302, 41305, 41325, 41839, // the same, of tables in memory
	6001, 6002, 6004, 6005, 17142, 17148, 17187, 17188, // shutting down, paused, not ready yet
	17189, 17197, 17809, 17810, // no thread, too slow to log in, too many connections
	18401, 18451, 18461, // being upgraded, open to administrators only
	10922, 10928, 10929, 10930, 10936, 40197, 40501, 40613, 42108, 42109, 49918, 49919, 49920, 49983, // Azure is busy, or wakes up
}

// babelfishPassing are the words of PostgreSQL for what may pass, which Babelfish sends under a number that says
// nothing.
var babelfishPassing = []string{"the database system is ", "too many clients", "connection slots are reserved", "terminating connection", "conflict with recovery",
	"deadlock detected", "could not serialize access", "out of memory", "out of shared memory", "No space left on device"}

// babelfishNumber is the number of whatever has none in SQL Server.
const babelfishNumber = 33557097

// sqlserverLimits are what a server lets no query do, whenever it is asked: an estimated cost (8649), a grant of
// memory (8657), and what Azure bounds by the session: time of a transaction, locks, tempdb, log, memory.
var sqlserverLimits = []int32{8649, 8657, 40549, 40550, 40551, 40552, 40553}

// login reports whether the server refuses the login: its name and password (18456), or its domain (18452).
func (m sqlserverMessages) login() bool {
	return slices.ContainsFunc(m, func(e mssql.Error) bool { return e.Number == 18456 || e.Number == 18452 })
}

// limit reports whether one of the messages is about a limit of the server's.
func (m sqlserverMessages) limit() bool {
	return slices.ContainsFunc(m, func(e mssql.Error) bool { return slices.Contains(sqlserverLimits, e.Number) })
}

// sqlserverSevere is the first severity class that is about the server and not about the request: out of resources,
// broken, fatal.
const sqlserverSevere = 17

// transient tells whether one of the messages is about something that may pass.
func (m sqlserverMessages) transient() bool {
	return slices.ContainsFunc(m, func(e mssql.Error) bool {
		return e.Class >= sqlserverSevere || slices.Contains(sqlserverPassing, e.Number) || e.Number == babelfishNumber &&
			slices.ContainsFunc(babelfishPassing, func(words string) bool { return strings.Contains(e.Message, words) })
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
	sqlserverNameAdvice = "hostNameInCertificate=<one of these> in the DSN names the one to expect"
	sqlserverPinAdvice  = "it is not the certificate that serverCertificate=<file> holds: the server has a new one, or is another; " +
		"certificate=<file>.pem names an authority to trust instead"
	sqlserverOldTLSAdvice = "if the server is older than 2016, tlsmin=1.0 accepts its TLS, which can be broken"
	sqlserverHighAdvice   = "the server speaks no TLS as new as tlsmin asks for: leave tlsmin out, or write a lower one; " +
		"without encrypt=strict a server speaks 1.2 at most"
	sqlserverNoTLSAdvice = "the server has no TLS that can be used: encrypt=disable does without, so that the password and the rows can be read " +
		"on the way: only within a VPN"
	sqlserverPacketAdvice   = "the DSN has a packet size, which not every server takes: leave it out, or write another, such as packet size=4096"
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
	text, refused := err.Error(), link.refused.Load()
	switch {
	case refused != nil && t.config.Parameters[msdsn.ServerCertificate] != "":
		return pipeline.Permanent(advise(sqlserverPinAdvice))
	case refused != nil:
		return pipeline.Permanent(advise(certificateAdvice(refused.error, sqlserverNameAdvice, sqlserverTrustAdvice)))
	case strings.Contains(text, sqlserverHandshakeFailed) && link.broken.Load(): // as Windows says no; or the network
		return pipeline.Transient(advise(t.handshakeAdvice(text)))
	case strings.Contains(text, sqlserverHandshakeFailed):
		return pipeline.Permanent(advise(t.handshakeAdvice(text)))
	case strings.Contains(text, sqlserverNoInstance): // the browser may be down, as the server may
		return pipeline.Transient(advise(sqlserverInstanceAdvice))
	case strings.Contains(text, sqlserverNoEncryption):
		return pipeline.Permanent(advise(sqlserverPlainAdvice))
	case link.broken.Load() && t.config.Parameters[msdsn.PacketSize] != "":
		return pipeline.Transient(advise(sqlserverPacketAdvice))
	default:
		return sqlserverError(op, err, t.secrets)
	}
}

// handshakeAdvice says what helps where the two sides found no TLS in common.
func (t *sqlserverTarget) handshakeAdvice(text string) string {
	tlsmin := t.config.Parameters[msdsn.TLSMin]
	version := strings.Contains(text, "protocol version") || strings.Contains(text, "no supported versions")
	switch {
	case t.config.Encryption == msdsn.EncryptionDisabled:
		return sqlserverInsistsAdvice
	case t.config.Encryption == msdsn.EncryptionStrict:
		return sqlserverStrictAdvice
	case tlsmin == "1.3", version && tlsmin != "" && tlsmin != "1.0":
		return sqlserverHighAdvice
	case !version && t.config.Parameters[msdsn.PacketSize] != "":
		return sqlserverPacketAdvice
	case tlsmin == "1.0":
		return sqlserverNoTLSAdvice
	default:
		return sqlserverOldTLSAdvice
	}
}
