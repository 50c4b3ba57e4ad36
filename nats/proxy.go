package nats

import (
	"fmt"
	"net/url"

	"github.com/nats-io/nats.go"
	"golang.org/x/net/proxy"
)

// throughProxy connects through a SOCKS5 proxy.
func throughProxy(by Given) (nats.Option, error) {
	address, err := url.Parse(by.Value)
	if err == nil && address.Host == "" {
		err = fmt.Errorf("no host")
	}
	if err != nil { // the parser's message would show a password
		return nil, fmt.Errorf("%s is not a URL like socks5://host:1080", by.By)
	}
	dialer, err := proxy.FromURL(address, proxy.Direct)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", by.By, err)
	}
	return nats.SetCustomDialer(dialer), nil
}
