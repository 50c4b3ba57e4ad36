package sheets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/sheets/v4"
)

// Endpoint is Google's address; the option of this name replaces it, for emulators and proxies.
const Endpoint = "https://sheets.googleapis.com/"

// Google ends a request after 180 seconds.
const requestTimeout = 200 * time.Second

// Client speaks to Google with one credential. It makes one attempt at each request.
type Client struct {
	Email     string
	endpoint  string
	http      *http.Client
	transport *transport
	service   *sheets.Service
	governor  *governor
	batch     int // bytes of a batchUpdate at most
}

// clients are those of the process: what they share is their account's quota.
var clients = struct {
	sync.Mutex
	of map[string]*Client
}{of: map[string]*Client{}}

// Connect is the process's client for these credentials. endpoint "" is Google's. It sends nothing.
func Connect(c *Credentials, endpoint string) (*Client, error) {
	clients.Lock()
	defer clients.Unlock()
	key := c.key() + " " + endpoint
	if known := clients.of[key]; known != nil {
		return known, nil
	}
	client, err := NewClient(c, endpoint, Service{Clock: wallClock{}, BatchBytes: batchBytes})
	if err == nil {
		clients.of[key] = client
	}
	return client, err
}

// Service is what a client takes Google's to be.
type Service struct {
	Clock      Clock // of the quotas
	BatchBytes int   // that a batch of changes has at most; one row may have more
}

// NewClient makes a client with a governor of its own, for tests.
func NewClient(c *Credentials, endpoint string, to Service) (*Client, error) {
	if endpoint == "" {
		endpoint = Endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("endpoint: %q is no address such as %s", endpoint, Endpoint)
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.IdleConnTimeout = 30 * time.Second
	t := newTransport(c, base)
	client := &Client{Email: c.Email, endpoint: strings.TrimSuffix(endpoint, "/") + "/", transport: t, http: &http.Client{Transport: t, CheckRedirect: stay}, governor: newGovernor(to.Clock), batch: to.BatchBytes}
	client.service, err = sheets.NewService(context.Background(), option.WithHTTPClient(client.http), option.WithEndpoint(client.endpoint))
	return client, err
}

// stay follows no redirect: a login page is no answer.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// call makes a request when the governor lets it, and once more with a new token if the first was refused. A quota that
// is spent is waited for: it says nothing of the destination. Only if it stays spent that is the answer.
func (c *Client) call(ctx context.Context, write bool, do func(ctx context.Context) error) error {
	const mostPauses = 10 // of a minute each
	renewed, pauses := false, 0
	for {
		if err := c.governor.take(ctx, write); err != nil {
			return err
		}
		timed, stop := context.WithTimeout(ctx, requestTimeout)
		err := do(timed)
		stop()
		switch status := statusOf(err); {
		case status == http.StatusUnauthorized && !renewed:
			renewed = true
			c.transport.forget(ctx)
		case spent(err) && pauses < mostPauses:
			pauses++
			c.governor.pause(write)
		default:
			return err
		}
	}
}

// get reads what fields names of a spreadsheet.
func (c *Client) get(ctx context.Context, id, fields string) (out *sheets.Spreadsheet, err error) {
	err = c.call(ctx, false, func(ctx context.Context) error {
		out, err = c.service.Spreadsheets.Get(id).Fields(googleapi.Field(fields)).Context(ctx).Do()
		return err
	})
	return out, err
}

// values reads ranges of a spreadsheet, unformatted.
func (c *Client) values(ctx context.Context, id string, ranges []*sheets.GridRange) (out *sheets.BatchGetValuesByDataFilterResponse, err error) {
	q := &sheets.BatchGetValuesByDataFilterRequest{ValueRenderOption: "FORMULA", MajorDimension: "ROWS"}
	for _, r := range ranges {
		q.DataFilters = append(q.DataFilters, &sheets.DataFilter{GridRange: r})
	}
	err = c.call(ctx, false, func(ctx context.Context) error {
		out, err = c.service.Spreadsheets.Values.BatchGetByDataFilter(id, q).Fields("valueRanges(valueRange(values))").Context(ctx).Do()
		return err
	})
	return out, err
}

// update applies a batch: all of it, or nothing. The generated call would hold every cell in a struct of 200 bytes.
func (c *Client) update(ctx context.Context, id string, body []byte) error {
	return c.call(ctx, true, func(ctx context.Context) error {
		address := c.endpoint + "v4/spreadsheets/" + url.PathEscape(id) + ":batchUpdate?fields=spreadsheetId"
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := c.http.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		if err := googleapi.CheckResponse(answer); err != nil {
			return err
		}
		var done struct {
			SpreadsheetID string `json:"spreadsheetId"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&done); err != nil {
			return fmt.Errorf("read Google's answer: %w", err)
		}
		return nil
	})
}
