package sheets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"fanmill/pipeline"
)

// transport adds the account's token to requests. The library's own source of tokens asks for one without the
// request's context, so a cancelled request would wait for it.
type transport struct {
	credentials *Credentials
	base        http.RoundTripper
	turn        chan struct{} // who has it has token
	token       *oauth2.Token
}

func newTransport(c *Credentials, base http.RoundTripper) *transport {
	t := &transport{credentials: c, base: base, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.valid(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	return t.base.RoundTrip(r)
}

// valid is a token that is good for a minute at least.
func (t *transport) valid(ctx context.Context) (*oauth2.Token, error) {
	select {
	case <-t.turn:
		defer func() { t.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.token.Valid() && (t.token.Expiry.IsZero() || time.Until(t.token.Expiry) > time.Minute) {
		return t.token, nil
	}
	ask := context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: bound{ctx, t.base}})
	token, err := t.credentials.jwt.TokenSource(ask).Token()
	if err != nil {
		return nil, t.refused(err)
	}
	t.token = token
	return token, nil
}

// forget has the next request ask for a new token.
func (t *transport) forget(ctx context.Context) {
	select {
	case <-t.turn:
		t.token = nil
		t.turn <- struct{}{}
	case <-ctx.Done():
	}
}

// bound gives requests a context.
type bound struct {
	ctx  context.Context
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.base.RoundTrip(r.WithContext(b.ctx))
}

// mostSkew is how far the clocks may differ before it is said: Google's limit is not documented.
const mostSkew = 2 * time.Minute

// refused classifies what the token endpoint said. What it answers is not shown: it may quote what it was sent.
func (t *transport) refused(err error) error {
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) || r.Response.StatusCode >= 500 || r.Response.StatusCode == http.StatusTooManyRequests {
		return &pipeline.Trouble{Scope: pipeline.OfMoment, Err: fmt.Errorf("log in at Google as %s: %w", t.credentials.Email, withoutAnswer(err))}
	}
	advice := "the key was deleted, or its account is disabled: make a new key for it"
	if sent, derr := http.ParseTime(r.Response.Header.Get("Date")); derr == nil {
		if skew := time.Since(sent); skew.Abs() > mostSkew {
			advice = fmt.Sprintf("this computer's clock differs from Google's by %s: set it right", skew.Abs().Round(10*time.Second))
		}
	}
	return &pipeline.Trouble{Scope: pipeline.OfTarget, Err: fmt.Errorf("log in at Google as %s: refused (%s): %s", t.credentials.Email, code(r), advice)}
}

// code is the error's code, such as invalid_grant.
func code(r *oauth2.RetrieveError) string {
	if r.ErrorCode != "" {
		return r.ErrorCode
	}
	return fmt.Sprintf("status %d%s", r.Response.StatusCode, oauthCode(r.Body))
}

func withoutAnswer(err error) error {
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		return fmt.Errorf("status %d", r.Response.StatusCode)
	}
	return err
}
