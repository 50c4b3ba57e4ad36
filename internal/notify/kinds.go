// Package notify tells people how the runs of a job ended: in Slack, Discord or Teams, by a webhook or by e-mail. A
// kind renders a pipeline.Notice and makes one attempt to send it; trying again belongs to who calls it. Whatever
// stands in a notice is text: it can ping nobody, link nowhere, and end no header.
package notify

import (
	"context"
	"fmt"

	"fanmill/pipeline"
)

// Post is one request with a JSON body.
type Post struct {
	URL     string
	Key     string // the idempotency key, and webhook-id
	Body    []byte
	Headers map[string]string
	Secrets []string // of Standard Webhooks, newest first; nil signs nothing
	CA      string   // authorities besides those of the system: PEM, or the path of a file
	Proxy   string   // a URL, "none", or "" for what the environment says
	Mask    []string // what no message may show
	Probe   bool     // only looks whether the receiver can be reached
}

// Poster makes one attempt at a request. answer is the status and what the receiver said. The error is a
// *pipeline.Trouble without a secret in it.
type Poster func(ctx context.Context, p Post) (answer string, err error)

// Kinds are all kinds of targets, by name.
func Kinds(post Poster) map[string]*pipeline.NotifyKind {
	all := map[string]*pipeline.NotifyKind{}
	for _, k := range []*pipeline.NotifyKind{slackKind(post), discordKind(post), teamsKind(post, false), teamsKind(post, true), webhookKind(post), emailKind()} {
		all[k.Name] = masked(k)
	}
	return all
}

// masked keeps what references were replaced by out of all that a kind says.
func masked(k *pipeline.NotifyKind) *pipeline.NotifyKind {
	own := *k
	own.Send = func(ctx context.Context, spec pipeline.NotifySpec) (string, error) {
		secrets, spec := masking(spec)
		answer, err := k.Send(ctx, spec)
		return secrets.Mask(answer), secrets.Error(err)
	}
	own.Probe = func(ctx context.Context, spec pipeline.NotifySpec) error {
		secrets, spec := masking(spec)
		return secrets.Error(k.Probe(ctx, spec))
	}
	return &own
}

func masking(spec pipeline.NotifySpec) (*pipeline.Secrets, pipeline.NotifySpec) {
	secrets, expand := &pipeline.Secrets{}, spec.Expand
	spec.Expand = func(text string) (string, error) { return secrets.Expand(text, expand) }
	return secrets, spec
}

// targetTrouble is an error that stays until somebody changes the target.
func targetTrouble(format string, args ...any) error {
	return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: fmt.Errorf(format, args...)}
}

// keyError is a mistake in an option.
type keyError struct{ key, text string }

func (e *keyError) Error() string { return e.text }

// Key is the option's name.
func (e *keyError) Key() string { return e.key }
