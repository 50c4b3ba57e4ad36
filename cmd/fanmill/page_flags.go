package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"fanmill/internal/config"
	"fanmill/internal/screen"
	"fanmill/internal/web"
)

// defaultHTTP is where the page is unless anything else is said: only this host reaches it.
const defaultHTTP = "127.0.0.1:8420"

// pageOff is the address of a page that is not to be.
const pageOff = "off"

// pageFlags say how the page is reached, and by whom. A token is never one of them: others see them in the list of
// processes.
type pageFlags struct {
	address, tokenFile, cert, key string
	userHeader                    string
	hosts, proxies                []string
	pprof, metricsConnections     bool
}

func (f *pageFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.address, "http", "", "`address` of the page, its API, health and metrics, or: off (also FANMILL_HTTP; default "+defaultHTTP+")")
	fl.StringSliceVar(&f.hosts, "http-host", nil, "`names` under which the page may be asked for, with commas between, besides addresses and localhost")
	fl.StringVar(&f.tokenFile, "http-token-file", "", "`file` of the token that the page asks for (also FANMILL_HTTP_TOKEN, itself or ${file:PATH})")
	fl.StringVar(&f.cert, "http-cert", "", "`file` of the page's certificate for TLS (also FANMILL_HTTP_CERT)")
	fl.StringVar(&f.key, "http-key", "", "`file` of that certificate's key (also FANMILL_HTTP_KEY)")
	fl.StringVar(&f.userHeader, "http-user-header", "", "`header` in which a reverse proxy names the user that it has let in; needs --http-proxy")
	fl.StringSliceVar(&f.proxies, "http-proxy", nil, "`addresses` of reverse proxies, or networks such as 10.0.0.0/8, whose --http-user-header and X-Forwarded-Proto count")
	fl.BoolVar(&f.metricsConnections, "metrics-connections", false, "have metrics of each connection, too: as many series as there are branches")
	fl.BoolVar(&f.pprof, "pprof", false, "serve profiles at /debug/pprof/, on a loopback address only")
}

// pageSettings are what flags and environment say of the page.
type pageSettings struct {
	web.Options
	address   string // "" is no page
	cert, key string
}

// page reads them. A page that others than this host can reach needs a token, or a proxy that says who asks.
func (f *pageFlags) page(env config.Env) (p pageSettings, err error) {
	p.address = cmp.Or(f.address, env.HTTP)
	if p.address == pageOff {
		return pageSettings{}, nil
	}
	p.cert, p.key = cmp.Or(f.cert, env.HTTPCert), cmp.Or(f.key, env.HTTPKey)
	p.Words = web.Words{Count: screen.Count, Size: screen.Size, Duration: screen.Duration, Of: screen.Of}
	p.Hosts, p.UserHeader, p.Pprof, p.TLS, p.Connections = f.hosts, f.userHeader, f.pprof, p.cert != "", f.metricsConnections
	if p.Token, err = f.token(env); err != nil {
		return p, err
	}
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return p, fmt.Errorf("--http %s: write HOST:PORT, such as %s, or off", p.address, defaultHTTP)
	}
	p.Name = "fanmill_" + port // cookies do not tell ports apart
	for _, text := range f.proxies {
		prefix, err := network(text)
		if err != nil {
			return p, fmt.Errorf("--http-proxy %s: write an address such as 10.0.0.7, or a network such as 10.0.0.0/8", text)
		}
		p.Proxies = append(p.Proxies, prefix)
	}
	near := web.Loopback(p.address)
	switch {
	case (p.cert == "") != (p.key == ""):
		return p, errors.New("--http-cert and --http-key belong together: the certificate and its key")
	case f.userHeader != "" && len(f.proxies) == 0:
		return p, errors.New("--http-user-header counts only from --http-proxy: name the proxy's address, or anybody could send the header")
	case !near && p.Token == "" && f.userHeader == "":
		return p, fmt.Errorf("--http %s can be reached from other hosts, and would let everybody in: set FANMILL_HTTP_TOKEN=${file:PATH} or --http-token-file to a file with a long random text, or have a reverse proxy log people in (--http-user-header, --http-proxy); without any of them it is for this host alone: --http %s", p.address, defaultHTTP)
	case f.pprof && !near:
		return p, fmt.Errorf("--pprof is for a loopback address, not for --http %s: profiles show what is in memory", p.address)
	}
	return p, nil
}

// minToken is the least length of a token that nobody guesses.
const minToken = 16

// token is what the page asks for; "" if there is none.
func (f *pageFlags) token(env config.Env) (string, error) {
	token, from := "", "FANMILL_HTTP_TOKEN"
	var err error
	if f.tokenFile != "" {
		from = "--http-token-file"
		var text []byte
		if text, err = os.ReadFile(f.tokenFile); err == nil && len(strings.TrimSpace(string(text))) == 0 {
			err = fmt.Errorf("%s is empty", f.tokenFile)
		}
		token = string(text)
	} else {
		token, err = config.Secret(env.HTTPToken)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	if token = strings.TrimSpace(token); token != "" && len(token) < minToken {
		return "", fmt.Errorf("%s: the token has %d characters, and is to have at least %d: openssl rand -hex 32 makes one", from, len(token), minToken)
	}
	return token, nil
}

// network reads an address or a network.
func network(text string) (netip.Prefix, error) {
	if at, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(at, at.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}
