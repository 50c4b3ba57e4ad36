package nats

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

// Given is a setting and who gave it, in a user's words: "--nats-creds", "NATS_CREDS", "creds of context prod".
type Given struct {
	Value, By string
	inContext bool // and so the nats CLI finds it there
}

// Access is how external servers are reached, and as whom.
type Access struct {
	URL     Given // comma-separated
	Context Given // name or file of a context of the nats CLI

	// Who connects: one of these kinds, or a user in the URL, or nobody.
	User, Password, Token, Creds, NKey, JWT, Seed Given

	CA, Cert, Key               Given // files; Cert and Key go together
	InboxPrefix, Domain, Socks5 Given
	TLSFirst                    bool

	whole string // the context that says who connects, and the rest where nothing else does; "" if there is none
}

// External reports whether a server is named.
func (a Access) External() bool { return a.URL.Value != "" || a.Context.Value != "" }

// identities are the ways to say who connects.
func (a *Access) identities() [][]*Given {
	return [][]*Given{{&a.User, &a.Password}, {&a.Token}, {&a.Creds}, {&a.NKey}, {&a.JWT, &a.Seed}}
}

// names is who of these was given, for a message.
func names(all []*Given) (by []string) {
	for _, g := range all {
		if g.Value != "" {
			by = append(by, g.By)
		}
	}
	return by
}

// identity names what of a says who connects. One kind is enough; of two nobody can tell which counts.
func (a *Access) identity() (by []string, _ error) {
	for _, kind := range a.identities() {
		if given := names(kind); given != nil {
			if by != nil {
				return nil, fmt.Errorf("%s and %s both say who connects to NATS; leave out one of them", strings.Join(by, ", "), strings.Join(given, ", "))
			}
			by = given
		}
	}
	if userIn(a.URL.Value) {
		if by != nil {
			return nil, fmt.Errorf("%s and the user in %s both say who connects to NATS; leave out one of them", strings.Join(by, ", "), a.URL.By)
		}
		by = []string{"the user in " + a.URL.By}
	}
	return by, nil
}

// Merge makes one of what the command line, the environment and a context say. The first of them that names a server,
// or a context, says where; then of each setting what comes first counts. Who connects, and a certificate with its
// key, count together. The settings of a context come last; warnings are about those of its settings that do not
// count.
func Merge(layers ...Access) (a Access, warnings []string, err error) {
	for _, l := range layers {
		if l.External() {
			a.URL, a.Context = l.URL, l.Context
			break
		}
	}
	if !a.External() {
		return Access{}, nil, nil
	}
	if a.Context.Value != "" {
		var c Access
		if c, warnings, err = readContext(a.Context); err != nil {
			return Access{}, nil, err
		}
		a.Context, a.InboxPrefix, a.Domain, a.Socks5, a.TLSFirst = c.Context, c.InboxPrefix, c.Domain, c.Socks5, c.TLSFirst
		a.whole = c.Context.Value
		if a.URL.Value == "" {
			a.URL = c.URL
		}
		layers = append(layers[:len(layers):len(layers)], c)
	}
	known := false
	for i, l := range layers {
		if l.URL != a.URL {
			l.URL = Given{} // another server's
		}
		by, err := l.identity()
		if err != nil {
			return Access{}, nil, err
		}
		if by != nil && !known {
			known = true
			if l.URL.Value == "" {
				a.URL.Value = withoutUsers(a.URL.Value)
			}
			to := a.identities()
			for k, kind := range l.identities() {
				for j, g := range kind {
					*to[k][j] = *g
				}
			}
			if i < len(layers)-1 { // the nats CLI would not let this win over what its context says
				a.whole = ""
			}
		}
		if a.Cert == (Given{}) && a.Key == (Given{}) {
			a.Cert, a.Key = l.Cert, l.Key
		}
		if a.CA == (Given{}) {
			a.CA = l.CA
		}
	}
	if a.User.Value != "" && a.Password.Value == "" && !a.User.inContext {
		a.Token, a.User = a.User, Given{} // as the nats CLI has it, but for its contexts
	}
	return a, warnings, a.complete()
}

// complete reports the lacking half of a pair.
func (a *Access) complete() error {
	for _, p := range []struct {
		one, other Given
		lacks      string
	}{
		{a.Password, a.User, "a password, and nothing says whose: give the user, too (NATS_USER)"},
		{a.Cert, a.Key, "a certificate, and its key is missing (--nats-key or NATS_KEY)"},
		{a.Key, a.Cert, "a key, and its certificate is missing (--nats-cert or NATS_CERT)"},
		{a.JWT, a.Seed, "a user's JWT, and its seed is missing"},
		{a.Seed, a.JWT, "a user's seed, and its JWT is missing"},
	} {
		if p.one.Value != "" && p.other.Value == "" {
			return fmt.Errorf("%s gives %s", p.one.By, p.lacks)
		}
	}
	return nil
}

// Check reports a file that cannot be used, by what named it.
func (a *Access) Check() error {
	_, err := a.options()
	return err
}

// options are those of the client. What a file must hold is looked at here; later, at each reconnect, files are read
// anew, so that credentials may be exchanged meanwhile.
func (a *Access) options() (all []nats.Option, _ error) {
	add := func(by Given, o nats.Option, err error) error {
		if err == nil {
			err = proven(o)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", by.By, by.Value, withoutPath(err))
		}
		all = append(all, o)
		return nil
	}
	for _, u := range urls(a.URL.Value) {
		if !strings.Contains(u, "://") {
			u = "nats://" + u // as the client has it
		}
		if parsed, err := url.Parse(u); err != nil || parsed.Host == "" { // the parser's message would show a password
			return nil, fmt.Errorf("%s: %s is not the URL of a NATS server, such as nats://nats.example.org:4222; in a user or password write %%40 for @, %%3A for :, %%2F for /, %%25 for %%",
				a.URL.By, redact(u))
		}
	}
	for _, file := range []Given{a.Creds, a.NKey, a.CA, a.Cert, a.Key} {
		if file.Value == "" {
			continue
		}
		if _, err := os.ReadFile(file.Value); err != nil {
			return nil, fmt.Errorf("%s %s: %w", file.By, file.Value, withoutPath(err))
		}
	}
	var err error
	switch {
	case a.User.Value != "":
		all = append(all, nats.UserInfo(a.User.Value, a.Password.Value))
	case a.Token.Value != "":
		all = append(all, nats.Token(a.Token.Value))
	case a.JWT.Value != "":
		err = add(Given{By: a.Seed.By}, nats.UserJWTAndSeed(a.JWT.Value, a.Seed.Value), nil)
	case a.Creds.Value != "":
		err = add(a.Creds, nats.UserCredentials(a.Creds.Value), nil)
	case a.NKey.Value != "":
		o, nerr := nats.NkeyOptionFromSeed(a.NKey.Value)
		err = add(a.NKey, o, nerr)
	}
	if err == nil && a.CA.Value != "" {
		err = add(a.CA, nats.RootCAs(a.CA.Value), nil)
	}
	if err == nil && a.Cert.Value != "" {
		err = add(a.Cert, nats.ClientCert(a.Cert.Value, a.Key.Value), nil)
	}
	if err != nil {
		return nil, err
	}
	if a.TLSFirst {
		all = append(all, nats.TLSHandshakeFirst())
	}
	if a.Socks5.Value != "" {
		o, err := throughProxy(a.Socks5)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	if a.InboxPrefix.Value != "" {
		all = append(all, nats.CustomInboxPrefix(a.InboxPrefix.Value))
	}
	return all, nil
}

// proven tries what an option would do when it connects.
func proven(o nats.Option) error {
	probe := nats.GetDefaultOptions()
	if err := o(&probe); err != nil {
		return err
	}
	if probe.UserJWT != nil {
		if _, err := probe.UserJWT(); err != nil {
			return err
		}
	}
	if probe.SignatureCB != nil {
		if _, err := probe.SignatureCB([]byte("probe")); err != nil {
			return err
		}
	}
	if probe.RootCAsCB != nil {
		if _, err := probe.RootCAsCB(); err != nil {
			return err
		}
	}
	if probe.TLSCertCB != nil {
		if _, err := probe.TLSCertCB(); err != nil {
			return err
		}
	}
	return nil
}

// withoutPath leaves the operation and the path out of an error about a file, which the message has named.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// who is the user that the server was shown, for messages. It is never a secret.
func (a *Access) who() string {
	switch {
	case a.User.Value != "":
		return fmt.Sprintf("user %s (%s)", a.User.Value, a.User.By)
	case a.Token.Value != "":
		return "the token of " + a.Token.By
	case a.Creds.Value != "":
		return fmt.Sprintf("the user of %s %s", a.Creds.By, a.Creds.Value)
	case a.NKey.Value != "":
		return fmt.Sprintf("the user of %s %s", a.NKey.By, a.NKey.Value)
	case a.JWT.Value != "":
		return "the user of " + a.JWT.By
	case userIn(a.URL.Value):
		return "the user in " + a.URL.By
	case a.Cert.Value != "":
		return fmt.Sprintf("the owner of the certificate %s %s", a.Cert.By, a.Cert.Value)
	}
	return "a client that names no user"
}

// cli is a command of the nats CLI that reaches the same server as the same user. A password is not part of it: note
// says where the CLI takes it from.
func (a *Access) cli() (cmd, note string) {
	option := func(name, value string) {
		if value != "" {
			cmd += " " + name + " " + shellQuote(value)
		}
	}
	cmd = "nats"
	if a.whole != "" {
		option("--context", a.whole)
	} else if selected, _, err := selectedContext(); err == nil && selected != "" {
		cmd += " --no-context" // else the CLI would take the rest from there
	}
	own := func(g Given) string {
		if a.whole != "" && g.inContext {
			return ""
		}
		return g.Value
	}
	option("--server", withoutUsers(own(a.URL)))
	option("--user", own(a.User))
	option("--creds", own(a.Creds))
	option("--nkey", own(a.NKey))
	option("--tlsca", own(a.CA))
	option("--tlscert", own(a.Cert))
	option("--tlskey", own(a.Key))
	if a.whole == "" {
		option("--inbox-prefix", a.InboxPrefix.Value)
		option("--js-domain", a.Domain.Value)
		option("--socks-proxy", a.Socks5.Value)
		if a.TLSFirst {
			cmd += " --tlsfirst"
		}
	}
	user, password := firstUser(own(a.URL))
	if password {
		option("--user", user)
	}
	switch {
	case password, own(a.Password) != "":
		note = "with the password of that user in NATS_PASSWORD"
	case user != "", own(a.Token) != "":
		note = "with the token in NATS_TOKEN"
	case own(a.Seed) != "":
		note = "with the user's JWT and seed in NATS_JWT and NATS_SEED"
	}
	return cmd, note
}

// urls are the parts of a comma-separated list.
func urls(list string) (all []string) {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// users takes the part before the @ out of a URL, which need not be one that parses: a password may have any sign.
func users(s string) (user, rest string) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	} else {
		scheme += "://"
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return "", s
	}
	return rest[:at], scheme + rest[at+1:]
}

func userIn(list string) bool {
	for _, s := range urls(list) {
		if user, _ := users(s); user != "" {
			return true
		}
	}
	return false
}

func withoutUsers(list string) string {
	all := urls(list)
	for i, s := range all {
		_, all[i] = users(s)
	}
	return strings.Join(all, ",")
}

// firstUser is the user of the first URL that has one. Without a password it is a token, and not to be shown.
func firstUser(list string) (user string, password bool) {
	for _, s := range urls(list) {
		if user, _ = users(s); user != "" {
			user, _, password = strings.Cut(user, ":")
			if plain, err := url.PathUnescape(user); err == nil {
				user = plain
			}
			return user, password
		}
	}
	return "", false
}

// HasSecret reports whether a list of URLs holds a password or a token.
func HasSecret(list string) bool { return userIn(list) }

// redact takes users, passwords and tokens out of a comma-separated list of URLs.
func redact(list string) string {
	all := urls(list)
	for i, s := range all {
		user, rest := users(s)
		if user == "" {
			continue
		}
		name, _, password := strings.Cut(user, ":")
		if !password {
			name = "xxxxx" // a token stands where a user would
		} else {
			name += ":xxxxx"
		}
		if scheme, host, ok := strings.Cut(rest, "://"); ok {
			all[i] = scheme + "://" + name + "@" + host
		} else {
			all[i] = name + "@" + rest
		}
	}
	return strings.Join(all, ",")
}
