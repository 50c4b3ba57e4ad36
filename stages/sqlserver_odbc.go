package stages

import (
	"strings"
)

// sqlserverODBC are the settings of ODBC's lists that the driver calls otherwise [Microsoft ODBC Driver for SQL
// Server, "DSN and connection string keywords"]. The driver reads such lists, but knows none of these names.
var sqlserverODBC = map[string]string{
	"uid": "user id", "user": "user id", "pwd": "password", "address": "server", "addr": "server", "wsid": "workstation id", "app": "app name",
	"hostnameincertificate": "hostnameincertificate", "failover_partner": "failoverpartner", "serverspn": "serverspn",
}

// sqlserverFromODBC makes an ODBC list one that the driver understands. Names are as the driver has them, values
// stand in braces, and a server's name is taken apart: tcp:host\instance,port. One that cannot be read is left for
// the driver to complain about.
func sqlserverFromODBC(dsn string) string {
	list, ok := strings.CutPrefix(dsn, "odbc:")
	if !ok {
		return dsn
	}
	pairs, ok := odbcPairs(list)
	if !ok {
		return dsn
	}
	given := map[string]bool{}
	for _, p := range pairs {
		given[p[0]] = true
	}
	var out strings.Builder
	add := func(key, value string) {
		out.WriteString(key + "={" + strings.ReplaceAll(value, "}", "}}") + "};")
	}
	for _, p := range pairs {
		key, value := p[0], p[1]
		if known := sqlserverODBC[key]; known != "" {
			key = known
		}
		switch key {
		case "server":
			value = strings.TrimSpace(value)
			if rest, found := strings.CutPrefix(strings.ToLower(value), "tcp:"); found {
				value = value[len(value)-len(rest):]
			}
			host, port, found := strings.Cut(value, ",")
			if value = strings.TrimSpace(host); found && !given["port"] {
				add("port", strings.TrimSpace(port))
			}
		case "encrypt", "trustservercertificate", "multisubnetfailover":
			value = odbcBool(value)
		}
		add(key, value)
	}
	return "odbc:" + out.String()
}

// odbcBool is ODBC's yes and no as the driver has them; other words stay.
func odbcBool(value string) string {
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "yes", "mandatory":
		return "true"
	case "no", "optional":
		return "false"
	default:
		return value
	}
}

// odbcPairs takes a list apart into names in lower case and values: key=value;key={a value with ; and }} in it}.
// false is a list that breaks the rules.
func odbcPairs(list string) (pairs [][2]string, ok bool) {
	for list = strings.TrimLeft(list, "; \t\r\n"); list != ""; list = strings.TrimLeft(list, "; \t\r\n") {
		key, rest, found := strings.Cut(list, "=")
		if !found || strings.Contains(key, ";") {
			return nil, false
		}
		key, rest = strings.ToLower(strings.TrimSpace(key)), strings.TrimLeft(rest, " \t")
		var value string
		if strings.HasPrefix(rest, "{") {
			end := quoted(rest, '}', false)
			if end < 2 || rest[end-1] != '}' {
				return nil, false
			}
			value, rest = strings.ReplaceAll(rest[1:end-1], "}}", "}"), strings.TrimLeft(rest[end:], " \t")
			if rest != "" && rest[0] != ';' {
				return nil, false
			}
		} else {
			value, rest, _ = strings.Cut(rest, ";")
			value = strings.TrimSpace(value)
		}
		pairs, list = append(pairs, [2]string{key, value}), rest
	}
	return pairs, true
}
