package stages_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"fanmill/internal/testdb"
	"fanmill/pipeline"
	"fanmill/pipeline/columnar"
)

// Every type of a column arrives with its exact value, whatever MySQL can store in it. The text is the CSV field.
func TestMySQLValues(t *testing.T) {
	cases := []struct{ column, value, typ, text string }{
		{"boolean", "0", "int", "0"},
		{"tinyint(1)", "-7", "int", "-7"},
		{"tinyint(1) unsigned", "1", "int", "1"},
		{"tinyint", "-128", "int", "-128"},
		{"tinyint unsigned", "255", "int", "255"},
		{"smallint", "-32768", "int", "-32768"},
		{"smallint unsigned", "65535", "int", "65535"},
		{"mediumint", "-8388608", "int", "-8388608"},
		{"mediumint unsigned", "16777215", "int", "16777215"},
		{"int", "-2147483648", "int", "-2147483648"},
		{"int unsigned", "4294967295", "int", "4294967295"},
		{"int(5) zerofill", "42", "int", "42"},
		{"bigint", "-9223372036854775808", "int", "-9223372036854775808"},
		{"bigint unsigned", "18446744073709551615", "uint", "18446744073709551615"},
		{"year", "1901", "int", "1901"},
		{"year", "0", "int", "0"},
		{"float", "16777217", "float32", "16777216"},
		{"float", "3.14159274", "float32", "3.1415927"}, // the text protocol says 3.14159
		{"double", "1.7976931348623157e308", "float", "1.7976931348623157e+308"},
		{"double", "0.1", "float", "0.1"},
		{"decimal(14,2)", "-999999999999.99", "decimal(14,2)", "-999999999999.99"},
		{"decimal(14,2)", "-0.01", "decimal(14,2)", "-0.01"},
		{"decimal(18,0)", "999999999999999999", "decimal(18,0)", "999999999999999999"},
		{"decimal(19,0)", "-9999999999999999999", "decimal(19,0)", "-9999999999999999999"},
		{"decimal(19,1)", "999999999999999999.9", "decimal(19,1)", "999999999999999999.9"},
		{"decimal(30,30)", "0.000000000000000000000000000001", "decimal(30,30)", "0.000000000000000000000000000001"},
		{"decimal(2,2)", "0.05", "decimal(2,2)", "0.05"},
		{"decimal(8,2) zerofill", "1.5", "decimal(8,2)", "1.50"},
		{"decimal(5,0) unsigned", "99999", "decimal(5,0)", "99999"},
		{"decimal(38,0)", "-99999999999999999999999999999999999999", "decimal(38,0)", "-99999999999999999999999999999999999999"},
		{"decimal(65,30)", "12345678901234567890123456789012345.000000000000000000000000000001", "numeric", "12345678901234567890123456789012345.000000000000000000000000000001"},
		{"decimal(65,2) zerofill", "0.5", "numeric", "0.50"},
		{"date", "'9999-12-31'", "date", "9999-12-31"},
		{"date", "'0001-01-01'", "date", "0001-01-01"},
		{"date", "'0000-00-00'", "mixed", "0000-00-00"},
		{"date", "'2024-00-00'", "mixed", "2024-00-00"},
		{"date", "'2024-02-00'", "mixed", "2024-02-00"},
		{"date", "'2023-02-29'", "mixed", "2023-02-29"}, // with ALLOW_INVALID_DATES
		{"datetime", "'0000-00-00'", "mixed", "0000-00-00 00:00:00"},
		{"datetime(3)", "'2024-00-10 12:13:14.5'", "mixed", "2024-00-10 12:13:14.5"},
		{"datetime", "'2024-02-29 00:00:00'", "timestamp", "2024-02-29 00:00:00"},
		{"datetime(6)", "'1899-12-31 23:59:59.999999'", "timestamp", "1899-12-31 23:59:59.999999"},
		{"timestamp null", "'0000-00-00'", "mixed", "0000-00-00 00:00:00"},
		{"timestamp(6) null", "'2038-01-19 03:14:07.999999'", "timestamptz", "2038-01-19 03:14:07.999999+00:00"},
		{"time", "'00:00:00'", "time", "00:00:00"},
		{"time(6)", "'23:59:59.999999'", "time", "23:59:59.999999"},
		{"time", "'24:00:00'", "mixed", "24:00:00"},
		{"time(6)", "'838:59:58.000001'", "mixed", "838:59:58.000001"},
		{"time(6)", "'-838:59:59.999999'", "mixed", "-838:59:59.999999"},
		{"time(1)", "'-00:00:00.5'", "mixed", "-00:00:00.5"},
		{"time", "'-838:59:59'", "mixed", "-838:59:59"},
		{"bit(1)", "b'1'", "bool", "true"},
		{"bit(9)", "b'101'", "text", "000000101"},
		{"bit(64)", "18446744073709551615", "text", strings.Repeat("1", 64)},
		{"bit(64)", "0", "text", strings.Repeat("0", 64)},
		{"char(4)", "'ab '", "text", "ab"}, // the server cuts the blanks
		{"varchar(10) character set latin1", "'Grüße'", "text", "Grüße"},
		{"varchar(10) character set gbk", "'中文'", "text", "中文"},
		{"varchar(10) character set utf32", "'😀'", "text", "😀"},
		{"varchar(10) character set ucs2", "'Ωmega'", "text", "Ωmega"},
		{"varchar(10) character set utf8mb3 collate utf8mb3_bin", "'नमस्ते'", "text", "नमस्ते"},
		{"longtext", "'😀'", "text", "😀"},
		{"json", `'{"a": [1, "ü"]}'`, "text", `{"a": [1, "ü"]}`},
		{"enum('a','ü')", "'ü'", "text", "ü"},
		{"set('a','b','c')", "'c,a'", "text", "a,c"},
		{"binary(3)", "x'00ff'", "binary", "0x00ff00"},
		{"longblob", "''", "binary", "0x"},
		{"point", "point(1, 2)", "binary", "0x000000000101000000000000000000f03f0000000000000040"},
	}
	m := testdb.MariaDB(t)
	var columns, values []string
	for i, c := range cases {
		columns = append(columns, fmt.Sprintf("v%d %s", i, c.column))
		values = append(values, c.value)
	}
	dsn := createMySQL(t, "create table v ("+strings.Join(columns, ", ")+")", "set sql_mode = 'ALLOW_INVALID_DATES'", "insert into v values ("+strings.Join(values, ", ")+")")
	s := open(t, "mysql", dsn, "select * from v")
	rows, types := texts(t, s, 0, 10)
	texts := strings.Split(rows[0], "|")
	for i, c := range cases {
		if types[i] != c.typ || texts[i] != c.text {
			t.Errorf("%s %s is %s %q, want %s %q", c.column, c.value, types[i], texts[i], c.typ, c.text)
		}
	}
	if strings.HasPrefix(s.Server(), "MariaDB") {
		m.MustExec(t, dsn, "create table w (u uuid, i inet6); insert into w values ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '::1')")
		rows, types := textsAll(t, open(t, "mysql", dsn, "select * from w"))
		same(t, "uuid and inet6", append(rows, types...), []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|::1", "text", "text"})
	}
}

// A bit that the query calculates comes as the digits of its number, or as bits: where one could be taken for the
// other it is refused, with what to write.
func TestMySQLCalculatedBits(t *testing.T) {
	dsn := createMySQL(t, "create table b (n int, one bit(1), nine bit(9), eight bit(8))", "insert into b values (1, 1, 161, 1), (2, 0, 3, 49), (3, null, null, null)")
	rows, types := textsAll(t, open(t, "mysql", dsn, "select max(one) as a, min(one) as b, coalesce(max(one), 0) as c, cast(max(nine) as unsigned) as d from b"))
	same(t, "one bit", append(rows, types[:2]...), []string{"true|false|1|161", "bool", "bool"})
	rows, _ = textsAll(t, open(t, "mysql", dsn, "select nine, eight from (select max(nine) as nine, max(eight) as eight from b group by n) d order by 1"))
	same(t, "of a derived table", rows, []string{"NULL|NULL", "000000011|00110001", "010100001|00000001"})
	if !strings.HasPrefix(open(t, "mysql", dsn, "select 1 as n").Server(), "MariaDB") {
		return // MySQL may call them numbers
	}
	for _, query := range []string{"select max(nine) from b", "select if(n, eight, null) from b", "select first_value(nine) over () from b"} {
		err := attempt(t, "mysql", pipeline.Request{DSN: dsn, Queries: asQueries([]string{query})})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "CAST(... AS UNSIGNED)") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func textsAll(t testing.TB, s pipeline.Session) (rows, types []string) { return texts(t, s, 0, 1000) }

// A value that its column cannot hold widens one batch; the text of its neighbours does not change.
func TestMySQLWidening(t *testing.T) {
	dsn := createMySQL(t, "create table w (id int, flag tinyint(1), day date, at datetime(6), moment timestamp(6) null, span time(6))",
		"set sql_mode = ''", `insert into w values (1, 1, '2024-01-01', '2024-01-01 12:00', '2024-01-01 12:00', '12:00:00.5'),
		(2, 2, '0000-00-00', '2024-00-00 01:02:03', '0000-00-00', '25:00'), (3, 0, '2024-01-03', '2024-01-03', '2024-01-03', '00:00'), (4, 0, '2024-01-04', '2024-01-04', '2024-01-04', '04:00')`)
	session := open(t, "mysql", dsn+"?tinyInt1isBit=true", "select * from w order by id")
	rows, types := texts(t, session, 0, 3)
	same(t, "rows", rows, []string{
		"1|true|2024-01-01|2024-01-01 12:00:00|2024-01-01 12:00:00+00:00|12:00:00.5",
		"2|2|0000-00-00|2024-00-00 01:02:03|0000-00-00 00:00:00|25:00:00",
		"3|false|2024-01-03|2024-01-03 00:00:00|2024-01-03 00:00:00+00:00|00:00:00",
		"4|false|2024-01-04|2024-01-04 00:00:00|2024-01-04 00:00:00+00:00|04:00:00"})
	same(t, "types of the last batch", types, []string{"int", "bool", "date", "timestamp", "timestamptz", "time"})
	same(t, "notes", session.(pipeline.NotingSession).Notes(0), []string{
		"flag is declared as a boolean, and 1 of its values are neither 0 nor 1: to have numbers, take tinyInt1isBit=true out of the DSN"})
}

// A TIMESTAMP is one moment whatever the session's zone; what the query asks of the clock and calendar is that zone's.
func TestMySQLTimeZone(t *testing.T) {
	dsn := createMySQL(t, "create table z (moment timestamp null)", "insert into z values ('2024-01-01 20:00:00')")
	query := "select moment, date(moment) as day, @@time_zone as zone from z"
	rows, _ := textsAll(t, open(t, "mysql", dsn, query))
	same(t, "in UTC", rows, []string{"2024-01-01 20:00:00+00:00|2024-01-01|+00:00"})
	for _, zone := range []string{"%27%2B05%3A30%27", "%2B05:30"} {
		rows, _ = textsAll(t, open(t, "mysql", dsn+"?time_zone="+zone, query))
		same(t, "in India", rows, []string{"2024-01-01 20:00:00+00:00|2024-01-02|+05:30"})
	}
}

// tinyint(1) is a number before its first row is seen, or with tinyInt1isBit=true a boolean; other variables are the
// session's.
func TestMySQLParams(t *testing.T) {
	dsn := createMySQL(t, "create table b (flag boolean)", "insert into b values (true), (2)")
	rows, types := textsAll(t, open(t, "mysql", dsn, "select flag from b order by flag"))
	same(t, "numbers", append(rows, types...), []string{"1", "2", "int"})
	rows, types = textsAll(t, open(t, "mysql", dsn+"?tinyInt1isBit=true", "select flag from b where flag < 2"))
	same(t, "booleans", append(rows, types...), []string{"true", "bool"})
	s := open(t, "mysql", dsn+"?tinyInt1isBit=false&group_concat_max_len=17", "select flag, @@group_concat_max_len as n from b order by flag")
	rows, types = textsAll(t, s)
	same(t, "rows", append(rows, types...), []string{"1|17", "2|17", "int", "uint"})
}

// The columns of parameters have a type only when there is a value: what was announced before widens.
func TestMySQLTypeOfParameter(t *testing.T) {
	dsn := createMySQL(t)
	s := openRequest(t, "mysql", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: "select :n as n, :d as d, :day as day, :txt as txt, :n + 1 as m, :none as z", Args: []pipeline.Arg{
		{Name: "n", Type: pipeline.ArgInt, Text: "9007199254740993"}, {Name: "d", Type: pipeline.ArgDecimal, Text: "12.50"}, {Name: "day", Type: pipeline.ArgDate, Text: "2024-02-29"},
		{Name: "txt", Type: pipeline.ArgText, Text: "ü"}, {Name: "none", Type: pipeline.ArgNull}}}}})
	rows, _ := textsAll(t, s)
	same(t, "rows", rows, []string{"9007199254740993|12.50|2024-02-29|ü|9007199254740994|NULL"})
}

// A value of an argument that is none of its type is named, and nothing is sent.
func TestMySQLBadArgument(t *testing.T) {
	dsn := createMySQL(t)
	for typ, text := range map[pipeline.ArgType]string{pipeline.ArgInt: "12a", pipeline.ArgDecimal: "1e5", pipeline.ArgDate: "2023-02-29", pipeline.ArgBool: "maybe"} {
		err := attempt(t, "mysql", pipeline.Request{DSN: dsn, Queries: []pipeline.Query{{SQL: "select :it", Args: []pipeline.Arg{{Name: "it", Type: typ, Text: text}}}}})
		if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), `"it"`) {
			t.Errorf("%s %q: %v", typ, text, err)
		}
	}
}

// A row larger than a packet, which the server sends in pieces, arrives whole, also if it ends where a packet does.
func TestMySQLLargeRows(t *testing.T) {
	dsn := createMySQL(t)
	// Beside the value a row has ten bytes: two in front, four of its length, four of the number.
	for _, n := range []int{1<<24 - 1 - 11, 1<<24 - 1 - 10, 1<<24 - 1 - 9, 20_000_000, 2*(1<<24-1) - 15} {
		rows, _ := texts(t, open(t, "mysql", dsn, fmt.Sprintf("select repeat('x', %d) as v, 7 as n union all select 'y', 8", n)), 0, 2)
		if len(rows) != 2 || rows[0] != strings.Repeat("x", n)+"|7" || rows[1] != "y|8" {
			t.Errorf("%d: %d rows, the first of %d bytes", n, len(rows), len(rows[0]))
		}
	}
}

// A server that crashes in the middle of a result is worth another try.
func TestMySQLCrash(t *testing.T) {
	m := testdb.MariaDB(t)
	dsn := m.NewDatabase(t)
	s := open(t, "mysql", dsn, mysqlSeries(1_000_000_000))
	crashed := false
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		b.Reset()
		if crashed {
			return nil
		}
		crashed = true
		if err := m.Crash(); err != nil {
			t.Skip(err)
		}
		return nil
	})
	if !errors.Is(err, pipeline.ErrTransient) || !strings.Contains(err.Error(), "closed the connection") && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the error is %v", err)
	}
}

// An error in the middle of a result has the server's words and number; a query that somebody kills may succeed next
// time.
func TestMySQLErrorMidStream(t *testing.T) {
	m := testdb.MariaDB(t)
	number, from := mysqlNumbers(6)
	dsn := createMySQL(t, "create table one (n int)", "insert into one values (1), (2)")
	s := open(t, "mysql", dsn, "select "+number+", if("+number+" = 900000, (select n from one), 1) as v from "+from)
	err := s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, drop)
	if !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), "Subquery returns more than 1 row (error 1242") {
		t.Errorf("the error is %v", err)
	}
	s = open(t, "mysql", dsn, mysqlSeries(1_000_000_000))
	killed := false
	err = s.Stream(t.Context(), 0, columnar.NewBuilder(s.Columns(0)), full, func(b *columnar.Builder) error {
		b.Reset()
		if killed {
			return nil
		}
		killed = true
		return m.CancelQueries(t.Context(), dsn)
	})
	if !errors.Is(err, pipeline.ErrTransient) {
		t.Errorf("the error is %v", err)
	}
}

// A snapshot of a table whose engine keeps none is refused, naming the table.
func TestMySQLNoSnapshotOfMyISAM(t *testing.T) {
	dsn := createMySQL(t, "create table good (a int) engine=InnoDB", "create table old (a int) engine=MyISAM")
	r := pipeline.Request{DSN: dsn, Snapshot: true, Queries: asQueries([]string{"select * from good", "select a as b from old as o"})}
	if err := attempt(t, "mysql", r); !pipeline.IsPermanent(err) || !strings.Contains(err.Error(), ".old (MyISAM)") || strings.Contains(err.Error(), "good") {
		t.Errorf("the error is %v", err)
	}
	r.Snapshot = false
	if err := attempt(t, "mysql", r); err != nil {
		t.Error(err)
	}
}
