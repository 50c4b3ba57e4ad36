package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// named refuses requests whose Host is a name that nobody configured. A page of another site can have its own name
// resolve to this address (DNS rebinding); its requests are of the same origin then, and nothing else tells them from
// ours. An address in digits cannot be rebound.
func (s *Server) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.knows(r.Host) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(http.StatusMisdirectedRequest)
			fmt.Fprintf(w, "this page is not served under the name %q: ask by address, or start fanmill with --http-host\n", r.Host)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knows reports whether a Host header is an IP address, localhost, or a name of Options.
func (s *Server) knows(host string) bool {
	name := hostOf(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || slices.ContainsFunc(s.o.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

// hostOf is the name or address in a Host header, in small letters and without a port.
func hostOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// peer is the address that a request comes from; the zero Addr if that cannot be told.
func peer(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// proxied reports whether a request comes through a reverse proxy that was configured.
func (s *Server) proxied(r *http.Request) bool {
	at := peer(r)
	return slices.ContainsFunc(s.o.Proxies, func(p netip.Prefix) bool { return p.Contains(at) })
}

// Loopback reports whether only this host reaches an address that is listened on, written as HOST:PORT.
func Loopback(address string) bool {
	name := hostOf(address)
	if at, err := netip.ParseAddr(name); err == nil {
		return at.IsLoopback()
	}
	return name == "localhost"
}
