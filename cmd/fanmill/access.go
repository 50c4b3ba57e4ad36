package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/pflag"

	"fanmill/internal/config"
	"fanmill/nats"
)

// natsFlags are what the command line says of an external NATS server.
type natsFlags struct{ url, context, creds, nkey, ca, cert, key string }

// natsOption is one of them.
type natsOption struct {
	name, variable, usage string
	value                 *string
}

func (f *natsFlags) all() []natsOption {
	return []natsOption{
		{"nats", "NATS_URL", "`URL` of NATS servers to use instead of the embedded one, with commas between", &f.url},
		{"nats-context", "NATS_CONTEXT", "`name` or file of a context of the nats CLI that says where NATS is and who connects, or: selected", &f.context},
		{"nats-creds", "NATS_CREDS", "`file` of the credentials of the NATS user", &f.creds},
		{"nats-nkey", "NATS_NKEY", "`file` of the nkey seed of the NATS user", &f.nkey},
		{"nats-ca", "NATS_CA", "`file` of the authorities that sign the certificate of the NATS server", &f.ca},
		{"nats-cert", "NATS_CERT", "`file` of the certificate to show to the NATS server", &f.cert},
		{"nats-key", "NATS_KEY", "`file` of that certificate's key", &f.key},
	}
}

func (f *natsFlags) add(fl *pflag.FlagSet) {
	for _, n := range f.all() {
		fl.StringVar(n.value, n.name, "", n.usage+" (also "+n.variable+")")
	}
}

// line is these flags again, for a command to be shown. It has no password in it.
func (f *natsFlags) line() (text string) {
	for _, n := range f.all() {
		if *n.value != "" {
			text += " --" + n.name + " " + shellQuote(config.Masked(*n.value))
		}
	}
	return text
}

// given are the flags as package nats has them.
func (f *natsFlags) given() nats.Access {
	g := map[string]nats.Given{}
	for _, n := range f.all() {
		g[n.name] = nats.Given{Value: *n.value, By: "--" + n.name}
	}
	return nats.Access{URL: g["nats"], Context: g["nats-context"], Creds: g["nats-creds"], NKey: g["nats-nkey"], CA: g["nats-ca"], Cert: g["nats-cert"], Key: g["nats-key"]}
}

// inEnvironment is what variables say of an external NATS server.
func inEnvironment(e config.Env) (nats.Access, error) {
	g := func(value, name string) nats.Given { return nats.Given{Value: value, By: name} }
	a := nats.Access{URL: g(e.NATSURL, "NATS_URL"), Context: g(e.NATSContext, "NATS_CONTEXT"), User: g(e.NATSUser, "NATS_USER"),
		Password: g(e.NATSPassword, "NATS_PASSWORD"), Token: g(e.NATSToken, "NATS_TOKEN"), Creds: g(e.NATSCreds, "NATS_CREDS"),
		NKey: g(e.NATSNKey, "NATS_NKEY"), CA: g(e.NATSCA, "NATS_CA"), Cert: g(e.NATSCert, "NATS_CERT"), Key: g(e.NATSKey, "NATS_KEY")}
	for _, secret := range []*nats.Given{&a.Password, &a.Token} {
		text, err := config.Secret(secret.Value)
		if err != nil {
			return nats.Access{}, fmt.Errorf("environment: %s is %w", secret.By, err)
		}
		secret.Value = text
	}
	return a, nil
}

// external reports whether the state is on a server that others use, too.
func (s *settings) external() bool {
	return s.nats.url != "" || s.nats.context != "" || s.env.NATSURL != "" || s.env.NATSContext != ""
}

// access is how the NATS server is reached; of the embedded one it is empty.
func (s *settings) access(log *slog.Logger) (nats.Access, error) {
	flags := s.nats.given()
	if !s.external() {
		for _, n := range s.nats.all() {
			if *n.value != "" {
				return nats.Access{}, &exitError{exitBadJob, fmt.Errorf("--%s is for an external NATS server, and none is named: give --nats or --nats-context", n.name)}
			}
		}
		return nats.Access{}, nil
	}
	variables, err := inEnvironment(s.env)
	if err != nil {
		return nats.Access{}, &exitError{exitBadJob, err}
	}
	a, warnings, err := nats.Merge(flags, variables)
	if err == nil {
		err = a.Check()
	}
	if err != nil {
		return nats.Access{}, &exitError{exitBadJob, err}
	}
	if nats.HasSecret(s.nats.url) {
		log.Warn("--nats holds a password or a token, which other users of this machine see in the list of processes; " +
			"set NATS_USER and NATS_PASSWORD, or NATS_TOKEN, or name a file with --nats-creds or --nats-context")
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	return a, nil
}
