package stages

import (
	"fmt"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

const sqlserverPort = 1433

func init() {
	register(pipeline.DatabaseKind{
		Name: "sqlserver", Aliases: []string{"mssql"}, Label: "SQL Server", Driver: sqlserver{}, Port: sqlserverPort, Instances: true,
		Example: pipeline.Address{Server: "10.0.0.5", Instance: "SQLEXPRESS", Database: "sales", User: "app", Password: "${PASSWORD}",
			Options: []pipeline.AddressOption{{Name: "encrypt", Value: "true"}}},
		WithoutUser: "Without it, SQL Server uses the Windows account.",
		Split:       sqlserverSplit, DSN: sqlserverDSN,
		CheckDSN: sqlserverCheckDSN, CheckQuery: sqlserverCheckQuery, Control: sqlserverControl, Passwords: passwordsIn,
		Inline: &pipeline.InlineBounds{
			Options: []string{"encrypt", "trustServerCertificate", "hostNameInCertificate", "tlsmin", "app name", "packet size", "connection timeout", "dial timeout"},
		},
	})
}

// sqlserverSplit takes a server apart as SQL Server's own tools write it, tcp:host\instance,port. The instance is left
// to who reads the name.
func sqlserverSplit(a *pipeline.Address) error {
	a.Server = strings.TrimPrefix(a.Server, "tcp:")
	host, port, ok := strings.Cut(a.Server, ",")
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(port))
	if err != nil || n < 1 || n > 65535 || a.Port != 0 && a.Port != n {
		return fmt.Errorf("%q has a port that does not fit; write the port as \"port\"", a.Server)
	}
	a.Server, a.Port = strings.TrimSpace(host), n
	return nil
}

// sqlserverDSN is sqlserver://user:password@server:port/instance?database=...&options.
func sqlserverDSN(a *pipeline.Address, escape func(string) string) string {
	options := a.Options
	if a.Database != "" {
		options = append([]pipeline.AddressOption{{Name: "database", Value: a.Database}}, options...)
	}
	return serverURL("sqlserver", a, asPath(a.Instance), options, escape)
}

func sqlserverCheckDSN(dsn string) error {
	_, err := sqlserverParseDSN(dsn)
	return ofText(err)
}

func sqlserverCheckQuery(sql string) error {
	if sqlserverResults(sql) > 1 {
		return errSeveralResults
	}
	return nil
}
