package stages

import (
	"net"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// serverURL is scheme://user:password@server:port<path>?options. path begins with a slash, or is empty.
func serverURL(scheme string, a *pipeline.Address, path string, options []pipeline.AddressOption, escape func(string) string) string {
	var b strings.Builder
	b.WriteString(scheme + "://")
	if a.User != "" || a.Password != "" {
		b.WriteString(escape(a.User))
		if a.Password != "" {
			b.WriteString(":" + escape(a.Password))
		}
		b.WriteByte('@')
	}
	host := a.Server
	if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil && ip.To4() == nil {
		host = "[" + strings.Trim(host, "[]") + "]"
	}
	b.WriteString(host)
	if a.Port != 0 {
		b.WriteString(":" + strconv.Itoa(a.Port))
	}
	if path != "" {
		b.WriteString("/" + escape(path[1:]))
	}
	for i, o := range options {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(escape(o.Name) + "=" + escape(o.Value))
	}
	return b.String()
}

// asPath is a name as the path of a URL; "" has none.
func asPath(name string) string {
	if name == "" {
		return ""
	}
	return "/" + name
}
