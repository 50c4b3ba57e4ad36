package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"

	"fanmill/internal/web"
)

// pageServer is the page of this process while it is served; nil is none.
type pageServer struct {
	*web.Server
	url  string
	stop context.CancelFunc
	work sync.WaitGroup
}

// listen opens the page's address. The errors name what to change.
func (p *pageSettings) listen() (net.Listener, error) {
	var with *tls.Config
	if p.cert != "" {
		pair, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			return nil, fmt.Errorf("--http-cert %s, --http-key %s: %w", p.cert, p.key, err)
		}
		with = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	}
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		return nil, err
	}
	if with != nil {
		return tls.NewListener(l, with), nil
	}
	return l, nil
}

// taken reports whether an address could not be opened because somebody else has it. Windows has a number of its own
// for it.
func taken(err error) bool {
	const inUseOnWindows = syscall.Errno(10048)
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, inUseOnWindows)
}

// openPage serves the page until close is called. An address that another program has costs a warning: jobs are
// served all the same.
func (p *pageSettings) openPage(log *slog.Logger) (*pageServer, error) {
	if p.address == "" {
		return nil, nil
	}
	l, err := p.listen()
	if taken(err) {
		log.Warn(fmt.Sprintf("there is no page: %s is taken by another program; --http or FANMILL_HTTP gives it another address", p.address))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the page at %s: %w", p.address, err)
	}
	p.Log = log
	s := &pageServer{Server: web.New(p.Options), url: p.url(l.Addr())}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.work.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			log.Error("the page ended", "error", err)
		}
	})
	return s, nil
}

// url is the page's address for a browser of this host.
func (p *pageSettings) url(at net.Addr) string {
	scheme := "http"
	if p.TLS {
		scheme = "https"
	}
	host, _, err := net.SplitHostPort(p.address)
	_, port, perr := net.SplitHostPort(at.String())
	if err != nil || perr != nil {
		return scheme + "://" + p.address + "/"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + "/"
}

// close ends the page.
func (s *pageServer) close() {
	if s == nil {
		return
	}
	s.stop()
	s.work.Wait()
}

// show has the page show a backend; nil takes it away.
func (s *pageServer) show(b web.Backend) {
	if s != nil {
		s.Attach(b)
	}
}

// drain says that the process is about to end.
func (s *pageServer) drain() {
	if s != nil {
		s.Drain()
	}
}
