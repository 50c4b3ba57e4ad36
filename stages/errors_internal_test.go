package stages

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	mssql "github.com/microsoft/go-mssqldb"

	"fanmill/pipeline"
)

// What a server says of itself (starting, in recovery, offline, busy, full) may pass, and is tried again. What it
// says of the login, the database's name, the query or its data stays.
func TestPassingErrors(t *testing.T) {
	for _, c := range []struct {
		passes bool
		of     []mssql.Error
	}{
		{true, []mssql.Error{{Number: 904}, {Number: 913}, {Number: 921, Class: 14}, {Number: 922, Class: 14}, {Number: 927, Class: 14}, {Number: 941}, {Number: 942, Class: 14}, {Number: 952, Class: 16},
			{Number: 983, Class: 14}, {Number: 982}, {Number: 988}, {Number: 4060, All: []mssql.Error{{Number: 922}, {Number: 4060}}}, {Number: 6005, Class: 14}, {Number: 17142, Class: 14}, {Number: 17148}, {Number: 17187},
			{Number: 17188}, {Number: 17809}, {Number: 18401, Class: 14}, {Number: 18461, Class: 14}, {Number: 10928}, {Number: 10929}, {Number: 40197}, {Number: 40501}, {Number: 40613}, {Number: 42109}, {Number: 49918},
			{Number: 33557097, Message: "the database system is in recovery mode"}, {Number: 33557097, Message: "the database system is starting up"}, {Number: 33557097, Message: "sorry, too many clients already"}, {Number: 1, Class: 17}}},
		{false, []mssql.Error{{Number: 18456, Class: 14}, {Number: 4060, Class: 11}, {Number: 911, Class: 16}, {Number: 926, Class: 14}, {Number: 923, Class: 14}, {Number: 946}, {Number: 978, Class: 14}, {Number: 979}, {Number: 208}, {Number: 229}, {Number: 266},
			{Number: 18486}, {Number: 33557097, Message: `relation "sales" does not exist`}, {Number: 1, Message: "the database system is in recovery mode"}}},
	} {
		for _, e := range c.of {
			if got := sqlserverMessagesOf(e).transient(); got != c.passes {
				t.Errorf("SQL Server's %d (%s) passes: %v", e.Number, e.Message, got)
			}
		}
	}
	for code, passes := range map[string]bool{"57P01": true, "57P02": true, "57P03": true, "57P05": true, "53300": true, "58030": true, "72000": true, "HV00N": true, "40P01": true, "08006": true,
		"57P04": false, "3D000": false, "28P01": false, "28000": false, "42P01": false, "25006": false, "XX001": false, "22P02": false} {
		if got := pgTransient(&pgconn.PgError{Code: code}); got != passes {
			t.Errorf("PostgreSQL's %s passes: %v", code, got)
		}
	}
	for e, passes := range map[mysqlServerError]bool{{number: 1053, state: "08S01"}: true, {number: 1047, state: "08S01"}: true, {number: 1927, state: "70100"}: true, {number: 3169}: true, {number: 3168}: true, {number: 3032}: true,
		{number: 1040, state: "08004"}: true, {number: 1135}: true, {number: 2013}: true, {number: 9001}: true, {number: 1205}: true,
		{number: 1045, state: "28000"}: false, {number: 1049, state: "42000"}: false, {number: 1146, state: "42S02"}: false, {number: 1129}: false, {number: 1194}: false, {number: 1290}: false, {number: 1792, state: "25006"}: false} {
		if got := e.transient(); got != passes {
			t.Errorf("MySQL's %d passes: %v", e.number, got)
		}
	}
}

// A login that is refused is told from whatever else stays: another process may have another password, or come from
// another host.
func TestRefusedLogins(t *testing.T) {
	pg := func(code string) error { return pgError(t.Context(), "connect", &pgconn.PgError{Code: code}, nil) }
	my := func(number uint16) error { return mysqlError("connect", &mysqlServerError{number: number}, nil) }
	ms := func(number int32) error {
		return sqlserverError("connect", mssql.Error{Number: number, Class: 14, All: []mssql.Error{{Number: number, Class: 14}}}, nil)
	}
	for _, err := range []error{pg("28P01"), pg("28000"), my(1045), my(1698), my(1130), ms(18456), ms(18452)} {
		if !errors.Is(err, pipeline.ErrLogin) || !pipeline.IsPermanent(err) {
			t.Errorf("%v is no refused login", err)
		}
	}
	for _, err := range []error{pg("3D000"), pg("42501"), my(1049), my(1146), ms(4060), ms(229)} {
		if errors.Is(err, pipeline.ErrLogin) || !pipeline.IsPermanent(err) {
			t.Errorf("%v is a refused login", err)
		}
	}
}
