package stages_test

import (
	"testing"

	"fanmill/internal/testdb"
)

// Every built-in type arrives with its exact value. The text is the CSV field.
func TestPostgresTypes(t *testing.T) {
	cases := []struct{ expr, typ, text string }{
		{"true", "bool", "true"},
		{"(-32768)::int2", "int", "-32768"},
		{"2147483647::int4", "int", "2147483647"},
		{"(-9223372036854775808)::int8", "int", "-9223372036854775808"},
		{"4294967295::oid", "int", "4294967295"},
		{"1.1::float4", "float32", "1.1"},
		{"'-Infinity'::float4", "float32", "-Infinity"},
		{"0.1::float8", "float", "0.1"},
		{"'NaN'::float8", "float", "NaN"},
		{"1234.5::numeric(14,2)", "decimal(14,2)", "1234.50"},
		{"(-0.01)::numeric(14,2)", "decimal(14,2)", "-0.01"},
		{"0::numeric(14,2)", "decimal(14,2)", "0.00"},
		{"10000::numeric(14,2)", "decimal(14,2)", "10000.00"},
		{"100000000::numeric(20,0)", "decimal(20,0)", "100000000"},
		{"0.0001::numeric(14,4)", "decimal(14,4)", "0.0001"},
		{"0.00001::numeric(14,5)", "decimal(14,5)", "0.00001"},
		{"99999999999999999999999999999999999999::numeric(38,0)", "decimal(38,0)", "99999999999999999999999999999999999999"},
		{"(-999999999999999999999999999999999999.99)::numeric(38,2)", "decimal(38,2)", "-999999999999999999999999999999999999.99"},
		{"0.00000000000000000000000000000000000001::numeric(38,38)", "decimal(38,38)", "0.00000000000000000000000000000000000001"},
		{"'NaN'::numeric(14,2)", "mixed", "NaN"},
		{"1.5::numeric(50,2)", "numeric", "1.50"},
		{"1.500", "numeric", "1.500"},
		{"-0.000012", "numeric", "-0.000012"},
		{"1e20::numeric", "numeric", "100000000000000000000"},
		{"12345678901234567890123456789012345678901234567890.00100::numeric", "numeric", "12345678901234567890123456789012345678901234567890.00100"},
		{"'NaN'::numeric", "mixed", "NaN"},
		{"'Infinity'::numeric", "mixed", "Infinity"},
		{"'-Infinity'::numeric", "mixed", "-Infinity"},
		{"'NaN'::float4", "float32", "NaN"},
		{"'Infinity'::float8", "float", "Infinity"},
		{"'-0'::float8", "float", "-0"},
		{"5e-324::float8", "float", "5e-324"},
		{"0.00::numeric(5,2)", "decimal(5,2)", "0.00"},
		{"12345::numeric(3,-2)", "decimal(5,0)", "12300"},
		{"date '2024-02-29'", "date", "2024-02-29"},
		{"date '0044-03-15 BC'", "date", "-0043-03-15"},
		{"date '5874897-12-31'", "date", "5874897-12-31"},
		{"date 'infinity'", "mixed", "infinity"},
		{"time '24:00'", "time", "24:00:00"},
		{"time '01:02:03.000004'", "time", "01:02:03.000004"},
		{"timetz '01:02:03+05:30'", "text", "01:02:03+05:30"},
		{"timestamp '1999-12-31 23:59:59.999999'", "timestamp", "1999-12-31 23:59:59.999999"},
		{"timestamp '4713-01-01 00:00 BC'", "timestamp", "-4712-01-01 00:00:00"},
		{"timestamp '294276-12-31 23:59:59'", "mixed", "294276-12-31 23:59:59"},
		{"timestamptz '294247-01-08 04:00+00'", "timestamptz", "294247-01-08 04:00:00+00:00"},
		{"timestamptz '294247-01-10 04:00+00'", "mixed", "294247-01-10 04:00:00+00:00"},
		{"timestamp '-infinity'", "mixed", "-infinity"},
		{"timestamptz '2024-01-01 00:00+05:30'", "timestamptz", "2023-12-31 18:30:00+00:00"},
		{"timestamptz 'infinity'", "mixed", "infinity"},
		{"interval '1 year 2 months 3 days 04:05:06.7'", "text", "1 year 2 mons 3 days 04:05:06.7"},
		{"'a''b'::text", "text", "a'b"},
		{"'ab'::char(4)", "text", "ab  "},
		{"'ab'::varchar(4)", "text", "ab"},
		{"'n'::name", "text", "n"},
		{`'x'::"char"`, "text", "x"},
		{`'{"a": 1}'::json`, "text", `{"a": 1}`},
		{`'{"b":1,"a":2}'::jsonb`, "text", `{"a": 2, "b": 1}`},
		{"'<a/>'::xml", "text", "<a/>"},
		{"'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "text", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{`'\x00ff'::bytea`, "binary", "0x00ff"},
		{"array[1,null,3]", "text", "{1,NULL,3}"},
		{"array[0.1::float8]", "text", "{0.1}"},
		{"array[date '2024-12-31']", "text", "{2024-12-31}"},
		{`array['\x0aff'::bytea]`, "text", `{"\\x0aff"}`},
		{"'10.0.0.1/8'::inet", "text", "10.0.0.1/8"},
		{"B'101'", "text", "101"},
		{"int4range(1,5)", "text", "[1,5)"},
		{"row(1,'x')", "text", "(1,x)"},
		{"row(1,null,'a b')::pair", "text", `(1,,"a b")`},
		{"array[row(1,'x',null)::pair]", "text", `{"(1,x,)"}`},
		{"array[[1,2],[3,4]]", "text", "{{1,2},{3,4}}"},
		{"array['a,b','NULL',null,'']", "text", `{"a,b","NULL",NULL,""}`},
		{"array[1.50, 'NaN']::numeric[]", "text", "{1.50,NaN}"},
		{"'{}'::int[]", "text", "{}"},
		{"int4multirange(int4range(1,3), int4range(5,7))", "text", "{[1,3),[5,7)}"},
		{"daterange('2024-01-01', null)", "text", "[2024-01-01,)"},
		{"numrange(1.5, 2.5, '[]')", "text", "[1.5,2.5]"},
		{"'empty'::tsrange", "text", "empty"},
		{"'-1 day -02:00'::interval", "text", "-1 days -02:00:00"},
		{"interval '0'", "text", "00:00:00"},
		{"timetz '24:00+00'", "text", "24:00:00+00"},
		{"12.34::money", "text", "$12.34"},
		{"(-1234.5)::numeric::money", "text", "-$1,234.50"},
		{"B'1'::bit(1)", "text", "1"},
		{"B'10'::varbit", "text", "10"},
		{"'08:00:2b:01:02:03'::macaddr", "text", "08:00:2b:01:02:03"},
		{"'10.1.2.0/24'::cidr", "text", "10.1.2.0/24"},
		{"'::1'::inet", "text", "::1"},
		{"'((0,0),(1,1))'::box", "text", "(1,1),(0,0)"},
		{"'<(1,2),3>'::circle", "text", "<(1,2),3>"},
		{"'a fat cat'::tsvector", "text", "'a' 'cat' 'fat'"},
		{"'fat & rat'::tsquery", "text", "'fat' & 'rat'"},
		{"'$.a'::jsonpath", "text", `$."a"`},
		{"'pg_class'::regclass", "text", "pg_class"},
		{"'16/B374D848'::pg_lsn", "text", "16/B374D848"},
		{"'7'::xid", "text", "7"},
		{"'18446744073709551615'::xid8", "text", "18446744073709551615"},
		{"'(0,1)'::tid", "text", "(0,1)"},
		{"'1 2'::int2vector", "text", "1 2"},
		{"'straße'::shout", "text", "straße"},
		{"'green'::light", "text", "green"},
		{"array['red']::colour[]", "text", "{red}"},
		{"int4range(1,5)::workdays", "text", "[1,5)"},
		{"date '0001-01-01 BC'", "date", "0000-01-01"},
		{"date '4713-01-01 BC'", "date", "-4712-01-01"},
		{"timestamptz '0044-03-15 12:00+00 BC'", "timestamptz", "-0043-03-15 12:00:00+00:00"},
		{"timestamp '1500-02-28 23:59:59.5'", "timestamp", "1500-02-28 23:59:59.5"},
		{"point(1,2)", "text", "(1,2)"},
		{"'red'::colour", "text", "red"},
		{"12.5::amount", "decimal(14,2)", "12.50"},
		{"7::positive", "int", "7"},
		{"null", "text", "NULL"},
		{"null::numeric(14,2)", "decimal(14,2)", "NULL"},
	}
	pg := testdb.Postgres(t)
	dsn := pg.NewDatabase(t)
	pg.MustExec(t, dsn, `create type colour as enum ('red', 'green'); create domain amount as numeric(14,2); create domain positive as int check (value > 0);
		create type pair as (a int, b text, c text); create domain shout as text; create domain light as colour; create domain workdays as int4range`)
	// Settings of a server must not show in the text.
	pg.MustExec(t, dsn, `do $$ begin execute format('alter database %I set datestyle = ''SQL, DMY''; ', current_database());
		execute format('alter database %I set intervalstyle = ''iso_8601''', current_database());
		execute format('alter database %I set bytea_output = ''escape''', current_database());
		execute format('alter database %I set extra_float_digits = ''-15''', current_database()); end $$`)
	// Types of extensions have other object ids in every database.
	for extension, c := range map[string]struct{ expr, typ, text string }{
		"citext": {"'Straße'::citext", "text", "Straße"},
		"hstore": {"'a=>1,b=>NULL'::hstore", "text", `"a"=>"1", "b"=>NULL`},
		"ltree":  {"'a.b.c'::ltree", "text", "a.b.c"},
	} {
		if err := pg.Exec(t.Context(), dsn, "create extension "+extension); err != nil {
			t.Log(err) // a server without its additional modules
			continue
		}
		cases = append(cases, c)
	}
	for _, c := range cases {
		rows, types := texts(t, open(t, "postgres", dsn, "select "+c.expr+" as v"), 0, 10)
		if types[0] != c.typ || rows[0] != c.text {
			t.Errorf("%s is %s %q, want %s %q", c.expr, types[0], rows[0], c.typ, c.text)
		}
	}
}

// A value that its column cannot hold widens one batch; the text of its neighbours does not change.
func TestPostgresWidening(t *testing.T) {
	dsn := createPostgres(t, "create table w (id int, d numeric(14,2), day date, ts timestamp, moment timestamptz)",
		`insert into w values (1, 1.5, '2024-01-01', '2024-01-01', '2024-01-01 00:00+00'), (2, 'NaN', 'infinity', '-infinity', 'infinity'),
		(3, 2.5, '2024-01-03', '2024-01-03 12:00', '2024-01-03 00:00+00'), (4, 3, '2024-01-04', '2024-01-04', '2024-01-04 00:00+00')`)
	s := open(t, "postgres", dsn, "select * from w order by id")
	rows, types := texts(t, s, 0, 3)
	same(t, "rows", rows, []string{
		"1|1.50|2024-01-01|2024-01-01 00:00:00|2024-01-01 00:00:00+00:00",
		"2|NaN|infinity|-infinity|infinity",
		"3|2.50|2024-01-03|2024-01-03 12:00:00|2024-01-03 00:00:00+00:00",
		"4|3.00|2024-01-04|2024-01-04 00:00:00|2024-01-04 00:00:00+00:00"})
	same(t, "types of the last batch", types, []string{"int", "decimal(14,2)", "date", "timestamp", "timestamptz"})
}
