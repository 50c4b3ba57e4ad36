package nats

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"fanmill/pipeline"
)

// The least max_payload of a server, in bytes: manifests and commit records are single messages, and rows in small pieces are slow.
const leastPayload = 128 << 10

// The oldest server with everything fanmill uses: stream and consumer metadata, KV compression, several consumer filters.
const oldestMajor, oldestMinor = 2, 10

func (c *Conn) openExternal(ctx context.Context) error {
	where := redact(c.opts.URL)
	options := c.clientOptions()
	if c.opts.Creds != "" {
		options = append(options, nats.UserCredentials(c.opts.Creds))
	}
	nc, err := nats.Connect(c.opts.URL, options...)
	if errors.Is(err, nats.ErrAuthorization) {
		return pipeline.Permanent(fmt.Errorf("connect to NATS at %s: %w; the server runs, and lets in only whom it knows: check user and password, or the token, "+
			"in --nats (nats://USER:PASSWORD@HOST:4222)", where, err))
	}
	if err != nil {
		return pipeline.Transient(fmt.Errorf("connect to NATS at %s: %w; check --nats and that the server runs", where, err))
	}
	if err := c.connected(nc); err != nil {
		return err
	}
	if err := checkVersion(nc.ConnectedServerVersion()); err != nil {
		return pipeline.Permanent(fmt.Errorf("connect to NATS at %s: %w", where, err))
	}
	if most := nc.MaxPayload(); most < leastPayload {
		return pipeline.Permanent(fmt.Errorf("NATS at %s takes messages of at most %d bytes, and fanmill needs %d: raise its max_payload", where, most, leastPayload))
	}
	var without error
	if err := c.call(ctx, "ask NATS at "+where+" for JetStream", func(ctx context.Context) error {
		_, err := c.js.AccountInfo(ctx)
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			without, err = err, nil
		}
		return err
	}); err != nil {
		return err
	}
	if without != nil {
		return pipeline.Permanent(fmt.Errorf("NATS at %s has no JetStream, in which fanmill stores rows: start the server with it "+
			"(nats-server -js), or enable it for this account: %w", where, without))
	}
	switch {
	case c.opts.Replicas > 0:
		c.replicas = c.opts.Replicas
	case nc.ConnectedClusterName() != "":
		c.replicas = 3 // where there are as many nodes
	}
	return nil
}

func checkVersion(v string) error {
	part := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	if len(part) < 2 {
		return fmt.Errorf("server version %q is not one that fanmill can read", v)
	}
	major, err1 := strconv.Atoi(part[0])
	minor, err2 := strconv.Atoi(part[1])
	if err1 != nil || err2 != nil {
		return fmt.Errorf("server version %q is not one that fanmill can read", v)
	}
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("the server is version %s and fanmill needs at least %d.%d: update it", v, oldestMajor, oldestMinor)
	}
	return nil
}

// redact takes the passwords out of a comma-separated list of URLs.
func redact(urls string) string {
	list := strings.Split(urls, ",")
	for i, s := range list {
		u, err := url.Parse(strings.TrimSpace(s))
		if err != nil {
			list[i] = "(unreadable URL)"
		} else {
			if _, secret := u.User.Password(); !secret && u.User != nil {
				u.User = url.User("xxxxx") // a token stands where a user would
			}
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}
