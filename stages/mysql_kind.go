package stages

import (
	"regexp"
	"strings"

	"fanmill/pipeline"
)

const mysqlPort = 3306

func init() {
	register(pipeline.DatabaseKind{
		Name: "mysql", Aliases: []string{"mariadb"}, Label: "MySQL", Driver: mysqlStage{}, Port: mysqlPort,
		Example: pipeline.Address{Server: "10.0.0.5", Database: "sales", User: "app", Password: "${PASSWORD}",
			Options: []pipeline.AddressOption{{Name: "tls", Value: "true"}}},
		DSN: func(a *pipeline.Address, escape func(string) string) string {
			return serverURL("mysql", a, "/"+a.Database, a.Options, escape) // its DSNs have a slash, database or not
		},
		CheckDSN: mysqlCheckDSN, CheckQuery: mysqlCheckQuery, Control: mysqlControl, Passwords: mysqlPasswords,
		Inline: &pipeline.InlineBounds{
			Options: []string{"tls", "charset", "collation", "timeout", "time_zone", "tinyInt1isBit", "tlsmin"},
		},
	})
}

func mysqlCheckDSN(dsn string) error {
	_, err := mysqlParseDSN(dsn)
	return ofText(err)
}

// mysqlCheckQuery takes a query for one statement if it is one in any sql_mode.
func mysqlCheckQuery(sql string) error {
	for _, mode := range [][2]bool{{true, false}, {true, true}, {false, false}, {false, true}} {
		d := mysqlDialect
		if d.backslash, d.ansiQuotes = mode[0], mode[1]; !d.several(sql) {
			return nil
		}
	}
	return errSeveral
}

// mysqlAddress is user:password@tcp(host)/database.
var mysqlAddress = regexp.MustCompile(`^[^:/@\s]*:(.*)@(?:\w*\(|/)`)

func mysqlPasswords(dsn string) []string {
	passwords := passwordsIn(dsn)
	if strings.Contains(dsn, "://") {
		return passwords
	}
	if m := mysqlAddress.FindStringSubmatch(dsn); m != nil {
		passwords = append(passwords, m[1])
	}
	return passwords
}
