package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"fanmill/pipeline"
)

// hostPattern is a server that may be reached, or several.
type hostPattern struct {
	text string
	name string       // in lower case; "*" is any, ".example.org" all below
	net  netip.Prefix // of addresses, if name is ""
	port int          // 0 is any
}

func parseHost(s string) (hostPattern, error) {
	p := hostPattern{text: s}
	host := strings.TrimSpace(s)
	if addr, err := netip.ParseAddr(host); err == nil { // also an IPv6 address, which has colons
		p.net = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return p, nil
	}
	if name, port, ok := strings.Cut(host, "]:"); ok || strings.Count(host, ":") == 1 {
		if !ok {
			name, port, _ = strings.Cut(host, ":")
		}
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return p, fmt.Errorf("%q: write HOST or HOST:PORT", s)
		}
		host, p.port = name, n
	}
	host = strings.Trim(host, "[]")
	if net, err := netip.ParsePrefix(host); err == nil {
		p.net = net.Masked()
		return p, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		p.net = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return p, nil
	}
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		p.name, name = "."+rest, rest
	} else {
		p.name = name
	}
	if p.name != "*" && !hostName(name) {
		return p, fmt.Errorf("%q is not the name of a server; write db.example.org, *.branches.example.org, 10.1.0.0/16 or *, each with :PORT or without", s)
	}
	return p, nil
}

// hostName reports whether a name has the letters of one. Whatever else a driver takes for a server is another way to
// one: a socket, a pipe, a list.
func hostName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !nameByte(c) && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && s[0] != '.' && s[0] != '-'
}

// host reports why such a job may not reach the server of a connection, which listens on port unless it says another.
// Names are compared as names: what an allowed one resolves to is the matter of who allowed it.
func (b *Bounds) host(port int, a *pipeline.Address) error {
	host := strings.TrimSuffix(strings.ToLower(strings.Trim(a.Server, "[]")), ".")
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil && addr.Zone() == ""
	if !isAddr && !hostName(host) {
		return fmt.Errorf("%q is neither the name nor the address of a server", a.Server)
	}
	reached := a.Port
	if reached == 0 && a.Instance == "" {
		reached = port
	}
	for _, p := range b.hosts {
		// A named instance may be on any port.
		if p.port != 0 && (p.port != reached || a.Instance != "") {
			continue
		}
		switch {
		case p.name == "*", isAddr && p.name == "" && p.net.Contains(addr.Unmap()), !isAddr && p.name == host,
			!isAddr && strings.HasPrefix(p.name, ".") && strings.HasSuffix(host, p.name):
			return nil
		}
	}
	where := a.Server
	if reached != 0 {
		where += ":" + strconv.Itoa(reached)
	}
	return fmt.Errorf("%s is no server that a job that is brought along may reach; who serves names such servers with --allow-host", where)
}
