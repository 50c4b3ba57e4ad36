package post

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokens keeps one OAuth 2.0 access token, in memory only.
type tokens struct {
	config clientcredentials.Config
	client *http.Client
	slot   chan struct{} // held by who reads or changes token: one asks, the others wait
	token  *oauth2.Token
}

func newTokens(a OAuth2, t http.RoundTripper) *tokens {
	values := url.Values{}
	for k, v := range a.Params {
		values.Set(k, v)
	}
	return &tokens{
		config: clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret, TokenURL: a.TokenURL,
			Scopes: a.Scopes, EndpointParams: values,
			AuthStyle: map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams}[a.ClientAuth]},
		// A redirect would carry the client's secret to another address.
		client: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		slot:   make(chan struct{}, 1),
	}
}

// get returns a valid token; kept says that an earlier request used it. asking is called before a new one is asked for.
func (t *tokens) get(ctx context.Context, asking func()) (token string, kept bool, err error) {
	select {
	case t.slot <- struct{}{}:
	case <-ctx.Done():
		return "", false, context.Cause(ctx)
	}
	defer func() { <-t.slot }()
	if t.token.Valid() {
		return t.token.AccessToken, true, nil
	}
	asking()
	fresh, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return "", false, err
	}
	t.token = fresh
	return fresh.AccessToken, false, nil
}

// drop forgets a token that the receiver refused.
func (t *tokens) drop(ctx context.Context, token string) {
	select {
	case t.slot <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-t.slot }()
	if t.token != nil && t.token.AccessToken == token {
		t.token = nil
	}
}

// tokenAnswer splits an error of the token's server: its answer, or what kept it from answering.
func tokenAnswer(err error) (answer *oauth2.RetrieveError, network error) {
	if errors.As(err, &answer) && answer.Response != nil {
		return answer, nil
	}
	var u *url.Error // its text has the address
	if errors.As(err, &u) {
		return nil, u.Err
	}
	return nil, nil
}
