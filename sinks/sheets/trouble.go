package sheets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"google.golang.org/api/googleapi"

	"fanmill/pipeline"
)

// ErrFenced is a spreadsheet that shows a later claim of the same destination, or a later run of the same job.
var ErrFenced = errors.New("the spreadsheet shows a later claim")

// statusOf is the status of Google's answer; 0 if there was none.
func statusOf(err error) int {
	var g *googleapi.Error
	if errors.As(err, &g) {
		return g.Code
	}
	return 0
}

// spent reports whether an error says that a quota is spent: 429, and 403 for two reasons.
func spent(err error) bool {
	var g *googleapi.Error
	if !errors.As(err, &g) {
		return false
	}
	return g.Code == http.StatusTooManyRequests || g.Code == http.StatusForbidden && slices.ContainsFunc(g.Errors, func(e googleapi.ErrorItem) bool {
		return e.Reason == "rateLimitExceeded" || e.Reason == "userRateLimitExceeded"
	})
}

// uncertain reports whether a batch may have been applied although it failed.
func uncertain(err error) bool {
	var t *pipeline.Trouble
	if errors.As(err, &t) { // there was no token, so nothing was sent
		return false
	}
	status := statusOf(err)
	return status == 0 || status >= 500 || status < 400
}

// classify gives an error its scope. What Google says is shown as far as it is a message; it quotes no cells.
func (d *Document) classify(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	about := fmt.Sprintf("%s spreadsheet %s", op, d.c.Spreadsheet)
	var u *url.Error
	if errors.As(err, &u) { // its text is a long address
		err = u.Err
	}
	var t *pipeline.Trouble
	if errors.As(err, &t) {
		return &pipeline.Trouble{Scope: t.Scope, After: t.After, Err: fmt.Errorf("%s: %w", about, t.Err)}
	}
	of := func(scope pipeline.Scope, format string, args ...any) error {
		return &pipeline.Trouble{Scope: scope, Err: fmt.Errorf(about+": "+format, args...)}
	}
	var g *googleapi.Error
	if !errors.As(err, &g) {
		return of(pipeline.OfMoment, "%w", err)
	}
	switch {
	case spent(err):
		return &pipeline.Trouble{Scope: pipeline.OfMoment, After: time.Minute, Err: fmt.Errorf("%s: the quota of %s stays spent (%s): raise it in the account's Google Cloud project, or use an account of its own", about, d.client.Email, message(g))}
	case g.Code == http.StatusUnauthorized:
		return of(pipeline.OfTarget, "Google does not take the key of %s: make a new one", d.client.Email)
	case g.Code == http.StatusForbidden && storage(g):
		return of(pipeline.OfTarget, "the storage of its owner is full (%s): free some, or move the spreadsheet to a shared drive", message(g))
	case g.Code == http.StatusForbidden:
		return of(pipeline.OfTarget, "%s may not write it (%s): share the spreadsheet with that address as an editor, and enable the Google Sheets API in its project", d.client.Email, message(g))
	case g.Code == http.StatusNotFound || g.Code == http.StatusGone:
		return of(pipeline.OfTarget, "there is none of this id that %s sees: look at the id, and share the spreadsheet with that address as an editor", d.client.Email)
	case g.Code >= 300 && g.Code < 400:
		return of(pipeline.OfTarget, "the endpoint answers with status %d, a redirect, which is not followed: look at the option endpoint", g.Code)
	case g.Code >= 500 || g.Code == http.StatusRequestTimeout:
		return of(pipeline.OfMoment, "status %d: %s", g.Code, message(g))
	default:
		return of(pipeline.OfTarget, "Google refuses it (status %d): %s", g.Code, message(g))
	}
}

func storage(g *googleapi.Error) bool {
	return slices.ContainsFunc(g.Errors, func(e googleapi.ErrorItem) bool {
		return e.Reason == "storageQuotaExceeded" || e.Reason == "quotaExceeded"
	})
}

// message is what Google says, in one line of bounded length.
func message(g *googleapi.Error) string {
	const most = 300
	line := make([]rune, 0, most)
	for _, r := range g.Message {
		if r < ' ' {
			r = ' '
		}
		if line = append(line, r); len(line) == most {
			break
		}
	}
	return string(line)
}

// oauthCode is the code of a token endpoint's answer, after a colon; "" if it has none that can be shown.
func oauthCode(body []byte) string {
	var e struct {
		Error string `json:"error"`
	}
	known := []string{"invalid_grant", "invalid_client", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_grant_type"}
	if json.Unmarshal(body, &e) != nil || !slices.Contains(known, e.Error) {
		return ""
	}
	return ": " + e.Error
}
