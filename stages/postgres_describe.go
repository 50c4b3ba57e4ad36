package stages

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"fanmill/pipeline"
)

// describe asks the server for the columns of all queries, without running them. The server infers the types of the
// parameters from where they stand, as psql's \bind and every driver's text form have it. Where it cannot, or infers a
// type that does not hold the value, the type is the one that the value would have in the text of the query.
func (s *pgSession) describe(ctx context.Context, snapshot bool) error {
	params := make([]pgParams, len(s.queries))
	for q := 0; q < len(s.queries); {
		err := s.prepare(ctx, q, &params[q])
		if !errors.Is(err, errPGAgain) {
			if err != nil {
				return err
			}
			q++
			continue
		}
		// The error has ended the transaction: all begins anew.
		if _, err := s.conn.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			return pgError(ctx, "describe queries", err, s.secrets)
		}
		if err := s.begin(ctx, snapshot); err != nil {
			return err
		}
		s.results, q = s.results[:0], 0
	}
	return nil
}

// prepare has the server describe query q.
func (s *pgSession) prepare(ctx context.Context, q int, p *pgParams) error {
	query, label := &s.queries[q], queryLabel(s.queries, q)
	dialect := postgresDialect
	dialect.reuse = !p.split
	sql, args := bindArgs(query.SQL, query.Args, dialect, func(n int, _ string) string { return "$" + strconv.Itoa(n) })
	if len(args) > 0 && pgNumbered(query.SQL) {
		return pipeline.Permanent(fmt.Errorf("describe %s: it has parameters by number ($1, ...) beside those by name (:%s): name them all", label, args[0].Name))
	}
	// The unnamed statement: no name can collide behind a pooler.
	d, err := s.conn.Prepare(ctx, "", sql, p.types)
	if err != nil {
		var server *pgconn.PgError
		// "cannot insert multiple commands into a prepared statement", in any language
		if errors.As(err, &server) && server.Code == "42601" && (server.Routine == "exec_parse_message" || postgresDialect.several(query.SQL)) {
			return fmt.Errorf("describe %s: %w", label, errSeveral)
		}
		if len(args) > 0 && errors.As(err, &server) {
			if p.helps(server, args) {
				return errPGAgain
			}
			server.Position = 0 // counts in the text with the placeholders, which nobody wrote
		}
		return pgError(ctx, "describe "+label, hinted{err, strangeParams(query.SQL, query.Args, postgresDialect)}, s.secrets)
	}
	if len(d.ParamOIDs) == len(args) && p.fits(d.ParamOIDs, args) {
		return s.prepare(ctx, q, p)
	}
	switch {
	case len(d.ParamOIDs) != len(args):
		err = errors.New("it has parameters by number ($1, ...), and there are no values for them: name them (:from) and give the job params of these names")
	case len(d.Fields) == 0:
		err = errors.New("it returns no columns; only a query that returns rows can be delivered")
	}
	if err != nil {
		return pipeline.Permanent(fmt.Errorf("describe %s: %w", label, err))
	}
	r := newPGResult(d.Fields, s.encoding)
	r.sql, r.types = sql, p.types
	for _, a := range args {
		var text []byte
		if a.Type != pipeline.ArgNull {
			text = append([]byte{}, a.Text...) // "" is not NULL
		}
		r.args = append(r.args, text)
	}
	s.results = append(s.results, r)
	return nil
}

var errPGAgain = errors.New("describe again")

// pgParams are the parameters of a query, as far as the server's own inference does not do.
type pgParams struct {
	types []uint32 // OIDs; 0 is inferred
	split bool     // each occurrence of a name is a parameter of its own: they may have different types
	final bool     // nothing helped: the server's first error is the answer
}

// SQLSTATEs of parameters whose type is not clear [PostgreSQL, appendix A].
const (
	pgIndeterminate = "42P18" // as in $1 IS NULL
	pgAmbiguous     = "42P08" // of one type here and another there, or of none here
	pgNotUnique     = "42725" // several functions or operators would do
	pgUndefined     = "42883" // none would
	pgNoCast        = "42846"
	pgMismatch      = "42804"
)

// helps changes what the server is told after an error; false if that cannot help.
func (p *pgParams) helps(e *pgconn.PgError, args []pipeline.Arg) bool {
	switch {
	case p.final:
		return false
	case e.Code == pgAmbiguous && !p.split:
		p.split, p.types = true, nil
		return true
	case e.Code == pgIndeterminate && p.give(pgParamNumber(e.Message)-1, args):
		return true
	case p.types == nil && slices.Contains([]string{pgNotUnique, pgUndefined, pgNoCast, pgMismatch}, e.Code):
		p.types = make([]uint32, len(args))
		for i := range args {
			p.types[i] = pgTypeOf(&args[i])
		}
		return true
	}
	changed := p.split || p.types != nil
	*p = pgParams{final: true}
	return changed
}

// give tells the server the type of one parameter; false if it knows it.
func (p *pgParams) give(i int, args []pipeline.Arg) bool {
	if i < 0 || i >= len(args) || p.types != nil && p.types[i] != 0 {
		return false
	}
	if p.types == nil {
		p.types = make([]uint32, len(args))
	}
	p.types[i] = pgTypeOf(&args[i])
	return true
}

// fits gives a type to every parameter whose inferred one does not hold its value: an expression such as $1 + 1 takes
// it for an integer. It reports whether there is one.
func (p *pgParams) fits(inferred []uint32, args []pipeline.Arg) (changed bool) {
	if p.final {
		return false
	}
	for i := range args {
		if !pgHolds(inferred[i], &args[i]) {
			changed = p.give(i, args) || changed
		}
	}
	return changed
}

// pgParamNumber finds the $1 of a message, whatever its language; 0 if there is none.
func pgParamNumber(message string) (n int) {
	if i := strings.IndexByte(message, '$'); i >= 0 {
		n, _ = strconv.Atoi(sqlWord(message[i+1:]))
	}
	return n
}

// OIDs of types that no column of a result needs to be known by [PostgreSQL, pg_type.dat].
const (
	oidText     = 25
	oidInterval = 1186
	oidTimeTZ   = 1266
)

// pgTypeOf is the type of a value in the text of a query.
func pgTypeOf(a *pipeline.Arg) uint32 {
	switch a.Type {
	case pipeline.ArgBool:
		return oidBool
	case pipeline.ArgInt:
		if n, err := strconv.ParseInt(a.Text, 10, 64); err == nil && n >= math.MinInt32 && n <= math.MaxInt32 {
			return oidInt4
		}
		return oidInt8
	case pipeline.ArgDecimal:
		return oidNumeric
	case pipeline.ArgDate:
		return oidDate
	default:
		return oidText
	}
}

// pgHolds reports whether an inferred type holds a value, where the value's own does. What is wrong with others the
// server says.
func pgHolds(oid uint32, a *pipeline.Arg) bool {
	switch a.Type {
	case pipeline.ArgInt:
		n, err := strconv.ParseInt(a.Text, 10, 64)
		most := int64(math.MaxInt64)
		switch oid {
		case oidInt2:
			most = math.MaxInt16
		case oidInt4:
			most = math.MaxInt32
		}
		return err != nil || n <= most && n >= -most-1
	case pipeline.ArgDecimal:
		return oid != oidInt2 && oid != oidInt4 && oid != oidInt8
	case pipeline.ArgDate:
		switch oid {
		case oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidNumeric, oidTime, oidTimeTZ, oidInterval:
			return false
		}
	}
	return true
}
