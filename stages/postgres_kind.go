package stages

import "fanmill/pipeline"

func init() {
	register(pipeline.DatabaseKind{
		Name: "postgres", Aliases: []string{"postgresql"}, Label: "PostgreSQL", Driver: postgres{}, Port: 5432,
		Example: pipeline.Address{Server: "10.0.0.5", Database: "sales", User: "app", Password: "${PASSWORD}",
			Options: []pipeline.AddressOption{{Name: "sslmode", Value: "require"}}},
		DSN: func(a *pipeline.Address, escape func(string) string) string {
			return serverURL("postgres", a, asPath(a.Database), a.Options, escape)
		},
		CheckDSN: pgCheckDSN, CheckQuery: pgCheckQuery, Control: postgresControl, Passwords: passwordsIn,
		Inline: &pipeline.InlineBounds{
			Options: []string{"sslmode", "application_name", "connect_timeout", "search_path", "statement_timeout", "client_encoding"},
			// pgconn would take these from the account's own folder.
			Added: []pipeline.AddressOption{{Name: "sslcert"}, {Name: "sslkey"}, {Name: "passfile"}},
		},
	})
}

func pgCheckDSN(dsn string) error {
	_, err := pgParseDSN(dsn)
	return ofText(err)
}

// pgCheckQuery takes a query for one statement if it is one under either setting of standard_conforming_strings.
func pgCheckQuery(sql string) error {
	lax := postgresDialect
	lax.backslash = true
	if postgresDialect.several(sql) && lax.several(sql) {
		return errSeveral
	}
	return nil
}
