package sinks

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/sinks/dedupe"
	"fanmill/sinks/post"
)

// webhookKeys are the keys of a receiver of requests as they stand in a job file.
type webhookKeys struct {
	URL            string            `json:"url"`
	Method         string            `json:"method"`
	Headers        map[string]string `json:"headers"`
	Auth           authKeys          `json:"auth"`
	TLS            tlsKeys           `json:"tls"`
	Proxy          string            `json:"proxy"`
	Timeout        pipeline.Duration `json:"timeout"`
	Expect         bool              `json:"expect"`
	Conflict       string            `json:"conflict"`
	KeyTTL         pipeline.Duration `json:"keyTTL"`
	Parallel       int               `json:"parallel"`
	PerSecond      float64           `json:"perSecond"`
	SigningSecrets []string          `json:"signingSecrets"`
	Receipt        string            `json:"receipt"`
	Success        string            `json:"success"`
	Probe          string            `json:"probe"`

	Format             string                `json:"format"`
	Body               string                `json:"body"`
	Gzip               bool                  `json:"gzip"`
	MaxRowsPerRequest  int64                 `json:"maxRowsPerRequest"`
	MaxBytesPerRequest int64                 `json:"maxBytesPerRequest"`
	Dedupe             dedupeKeys            `json:"dedupe"`
	OnPartial          string                `json:"onPartial"`
	SendEmpty          bool                  `json:"sendEmpty"`
	Numbers            string                `json:"numbers"`
	ConnectionColumn   any                   `json:"connectionColumn"`
	Columns            map[string]columnKeys `json:"columns"`
}

type authKeys struct {
	Bearer string `json:"bearer"`
	Basic  *struct {
		User     string `json:"user"`
		Password string `json:"password"`
	} `json:"basic"`
	APIKey *struct {
		Name  string `json:"name"`
		Value string `json:"value"`
		In    string `json:"in"`
	} `json:"apiKey"`
	OAuth2 *struct {
		TokenURL     string            `json:"tokenUrl"`
		ClientID     string            `json:"clientId"`
		ClientSecret string            `json:"clientSecret"`
		Scopes       []string          `json:"scopes"`
		Params       map[string]string `json:"params"`
		ClientAuth   string            `json:"clientAuth"`
	} `json:"oauth2"`
}

type tlsKeys struct {
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	CA         string `json:"ca"`
	MinVersion string `json:"minVersion"`
}

// dedupeKeys is false, true, or an object.
type dedupeKeys struct {
	given bool
	off   bool
	keys  []string
	last  bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *dedupeKeys) UnmarshalJSON(text []byte) error {
	*d = dedupeKeys{given: true}
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '{' {
		var on bool
		err := json.Unmarshal(text, &on)
		d.off = !on
		return err
	}
	var keys struct {
		Keys []string `json:"keys"`
		Keep string   `json:"keep"`
	}
	err := json.Unmarshal(text, &keys)
	d.keys, d.last = keys.Keys, keys.Keep == "last"
	return err
}

var authOption = pipeline.Option{Name: "auth", Types: []string{"object"}, Use: pipeline.Free, Absent: "nobody",
	Description: "Who sends: one of `bearer`, `basic`, `apiKey`, `oauth2`.", Example: map[string]any{"bearer": "${API_TOKEN}"},
	Fields: []pipeline.Option{
		{Name: "bearer", Types: []string{"string"}, Use: pipeline.Secret, Description: "A token, sent as `Authorization: Bearer ...`.", Example: "${API_TOKEN}"},
		{Name: "basic", Types: []string{"object"}, Use: pipeline.Free, Description: "A user with a password.", Example: map[string]any{"user": "fanmill", "password": "${API_PASSWORD}"}, Fields: []pipeline.Option{
			{Name: "user", Types: []string{"string"}, References: true, Required: true, Use: pipeline.Free, Description: "The user.", Example: "fanmill"},
			{Name: "password", Types: []string{"string"}, Use: pipeline.Secret, Description: "Its password.", Example: "${API_PASSWORD}"}}},
		{Name: "apiKey", Types: []string{"object"}, Use: pipeline.Free, Description: "A key in a header or in the query of the URL.", Example: map[string]any{"name": "X-Api-Key", "value": "${API_KEY}"}, Fields: []pipeline.Option{
			{Name: "name", Types: []string{"string"}, Required: true, Use: pipeline.Free, Description: "The name of the header, or in the query.", Example: "X-Api-Key"},
			{Name: "value", Types: []string{"string"}, Required: true, Use: pipeline.Secret, Description: "The key.", Example: "${API_KEY}"},
			{Name: "in", Types: []string{"string"}, Enum: []string{"header", "query"}, Default: "header", Use: pipeline.Free, Description: "Where it stands."}}},
		{Name: "oauth2", Types: []string{"object"}, Use: pipeline.Free, Description: "Client credentials, RFC 6749 section 4.4.",
			Example: map[string]any{"tokenUrl": "https://login.example.com/token", "clientId": "fanmill", "clientSecret": "${CLIENT_SECRET}"}, Fields: []pipeline.Option{
				{Name: "tokenUrl", Types: []string{"string"}, Required: true, References: true, Use: pipeline.Free, Description: "Where tokens are given out.", Example: "https://login.example.com/token"},
				{Name: "clientId", Types: []string{"string"}, Required: true, References: true, Use: pipeline.Free, Description: "The client.", Example: "fanmill"},
				{Name: "clientSecret", Types: []string{"string"}, Required: true, Use: pipeline.Secret, Description: "Its secret.", Example: "${CLIENT_SECRET}"},
				{Name: "scopes", Types: []string{"array"}, Use: pipeline.Free, Items: &pipeline.Option{Types: []string{"string"}, Use: pipeline.Free}, Absent: "none", Description: "What the token is for.", Example: []string{"sales.write"}},
				{Name: "params", Types: []string{"object"}, Use: pipeline.Free, Each: &pipeline.Option{Types: []string{"string"}, Use: pipeline.Free, References: true}, Absent: "none", Description: "More fields of the token request.", Example: map[string]any{"audience": "https://api.example.com"}},
				{Name: "clientAuth", Types: []string{"string"}, Use: pipeline.Free, Enum: []string{"header", "body"}, Absent: "is found out", Description: "Where the client's name and secret stand in the token request."}}},
	}}

var tlsOption = pipeline.Option{Name: "tls", Types: []string{"object"}, Use: pipeline.Free, Absent: "as the system trusts", Description: "Certificates, as PEM texts or files. The receiver's is always verified.",
	Example: map[string]any{"ca": "D:/fanmill/ca.pem"}, Fields: []pipeline.Option{
		{Name: "cert", Types: []string{"string"}, References: true, Use: pipeline.Free, Description: "The client's certificate with its chain.", Example: "D:/fanmill/client.pem"},
		{Name: "key", Types: []string{"string"}, References: true, Use: pipeline.Free, Description: "Its key: a file, or a reference.", Example: "${file:D:/fanmill/client.key}"},
		{Name: "ca", Types: []string{"string"}, References: true, Use: pipeline.Free, Description: "Authorities besides those of the system.", Example: "D:/fanmill/ca.pem"},
		{Name: "minVersion", Types: []string{"string"}, Enum: []string{"1.2", "1.3"}, Default: "1.2", Use: pipeline.Free, Description: "The oldest version of TLS that is spoken."}}}

// requestTable has the keys that webhook and api have in common; more are those of one of them.
func requestTable(more ...pipeline.Option) []pipeline.Option {
	return append([]pipeline.Option{
		{Name: "url", Types: []string{"string"}, Required: true, References: true, Description: "Where requests go: http or https.", Example: "https://example.com/hooks/sales"},
		{Name: "method", Types: []string{"string"}, Enum: []string{"POST", "PUT", "PATCH"}, Default: "POST", Description: "The method of requests."},
		{Name: "headers", Types: []string{"object"}, Use: pipeline.Free, Each: &pipeline.Option{Types: []string{"string"}, References: true, Use: pipeline.Free}, Absent: "none",
			Description: "More headers.", Example: map[string]any{"X-Tenant": "${TENANT}"}},
		authOption, tlsOption,
		{Name: "proxy", Types: []string{"string"}, Use: pipeline.Free, References: true, Absent: "as HTTP_PROXY, HTTPS_PROXY and NO_PROXY say",
			Description: "The URL of a proxy, or `none`.", Example: "http://proxy.example.com:3128"},
		{Name: "timeout", Types: []string{"duration"}, Use: pipeline.Free, Default: "30s", Min: 1, Max: 3600, Description: "How long an answer may take once a request is sent whole."},
		{Name: "expect", Types: []string{"boolean"}, Use: pipeline.Free, Default: true, Description: "Whether bodies of more than 1 MB are announced first (`Expect: 100-continue`), so that a refusal costs no upload."},
		{Name: "conflict", Types: []string{"string"}, Enum: []string{"retry", "accept", "fail"}, Default: "retry", Use: pipeline.Free,
			Description: "What the answer 409 means: `retry`: another request with the key is being worked on; `accept`: the receiver has it; `fail`: it will never take it."},
		{Name: "keyTTL", Types: []string{"duration"}, Use: pipeline.Free, Default: "24h", Min: 60, Max: 366 * 24 * 3600,
			Description: "How long the receiver surely remembers a key that it has seen: a request without an answer that was first sent longer ago is [not sent again by itself](requests.md#what-a-receiver-can-rely-on)."},
		{Name: "parallel", Types: []string{"integer"}, Min: 1, Max: 32, Default: 1, Use: pipeline.Free, Description: "How many requests are sent at a time. With 1 they arrive in their order."},
		{Name: "perSecond", Types: []string{"number"}, Min: 0, Max: 1000, Default: 0, Use: pipeline.Free, Description: "How many requests a second are sent at the most; `0` is no limit."},
		{Name: "success", Types: []string{"string"}, Use: pipeline.Free, Absent: "any status from 200 to 299", Description: "What the answer must say besides its status.", Example: "$.ok == true"},
		{Name: "probe", Types: []string{"string"}, Enum: []string{"connect", "HEAD"}, Default: "connect", Use: pipeline.Free,
			Description: "How it is found out before a run whether the receiver is there: by a connection alone, or by a request `HEAD`."},
		{Name: "format", Types: []string{"string"}, Enum: []string{"json", "ndjson"}, Default: "json",
			Description: "`json`: one object with the rows in it; `ndjson`: an object a line for each row, and nothing else."},
		{Name: "body", Types: []string{"string"}, Absent: "see [bodies](#bodies-of-requests)",
			Description: "A Go template for other objects than the usual one: `{{rows}}` is where the rows stand.", Example: `{"records": [{{rows}}], "source": {{json .JobName}}}`},
		{Name: "gzip", Types: []string{"boolean"}, Default: false, Description: "Whether bodies are compressed (`Content-Encoding: gzip`). Many receivers do not take that."},
		{Name: "maxRowsPerRequest", Types: []string{"integer"}, Min: 1, Max: 1 << 30, Use: pipeline.Free, Absent: "no limit", Description: "More rows are sent in several requests.", Example: 5000},
		{Name: "maxBytesPerRequest", Types: []string{"integer"}, Min: 1024, Max: 1 << 40, Use: pipeline.Free, Absent: "no limit", Description: "Bodies with more bytes, before compression, are sent in several requests.", Example: 1000000},
		{Name: "dedupe", Types: []string{"boolean", "object"}, Absent: "rows that are equal in all columns are sent once, in `batch`; none in `stream`",
			Description: "Which rows are the same, of all connections: see [equal rows](#equal-rows). `false`: all are sent.", Example: map[string]any{"keys": []string{"invoice_no"}, "keep": "last"}, Fields: []pipeline.Option{
				{Name: "keys", Types: []string{"array"}, Items: &pipeline.Option{Types: []string{"string"}}, Absent: "all columns", Description: "The columns that make rows the same. A row with a NULL in one of them is always sent.", Example: []string{"invoice_no"}},
				{Name: "keep", Types: []string{"string"}, Enum: []string{"first", "last"}, Default: "first", Description: "Which one is sent, in the job's order of connections, then the query's of rows."}}},
		{Name: "onPartial", Types: []string{"string"}, Enum: []string{"send", "hold"}, Default: "send", Use: pipeline.Free,
			Description: "What a missing connection means in `batch`: `send`: what is there is sent, and a resume sends the rest; `hold`: nothing is sent before all are there."},
		{Name: "sendEmpty", Types: []string{"boolean"}, Default: true, Description: "Whether a `batch` without rows is sent."},
		jsonlTable[0],
		{Name: "connectionColumn", Types: []string{"boolean", "string"}, Default: true, Description: "`true`: the first key of a row is `_connection`, the connection's name; a text is the key's name; `false`: none.", Example: "branch"},
		columnsOption(map[string]any{"invoice_no": map[string]any{"rename": "invoiceNo"}}),
	}, more...)
}

var webhookTable = requestTable(pipeline.Option{Name: "signingSecrets", Types: []string{"array"}, Max: 8, Use: pipeline.Free, Items: &pipeline.Option{Types: []string{"string"}, Use: pipeline.Secret}, Absent: "requests are not signed",
	Description: "Secrets of [Standard Webhooks](https://www.standardwebhooks.com), the newest first: `whsec_...`. Each makes a signature, so that they can be changed without a gap.", Example: []string{"${WEBHOOK_SECRET}"}})

var apiTable = requestTable(pipeline.Option{Name: "receipt", Types: []string{"string"}, Use: pipeline.Free, Absent: "none", Description: "Where the answer has an id, or a URL, of what was made: it is kept as the receipt.", Example: "$.id"})

// webhookOptions are what a sink works with.
type webhookOptions struct {
	keys   webhookKeys
	rows   jsonlOptions
	stream bool
}

func readWebhookOptions(mode string, decode func(into any) error) (*webhookOptions, error) {
	o := &webhookOptions{stream: mode == "stream"}
	if err := decode(&o.keys); err != nil {
		return nil, err
	}
	k := &o.keys
	o.rows = jsonlOptions{strings: k.Numbers == "string"}
	var p problems
	o.rows.names.connection = p.connectionColumn(k.ConnectionColumn)
	for _, name := range slices.Sorted(maps.Keys(k.Columns)) {
		c := k.Columns[name]
		p.rename(name, c.Rename)
		o.rows.names.columns = append(o.rows.names.columns, csvColumn{name: name, rename: c.header(), hide: c.Hide, order: c.Order})
	}
	p.places(k.Columns)
	if o.stream && k.Dedupe.given && !k.Dedupe.off {
		p.add("dedupe", "dedupe cannot be done in mode \"stream\", where a connection is sent before the others are known; use mode \"batch\", or \"dedupe\": false")
	}
	if o.stream && k.OnPartial == "hold" {
		p.add("onPartial", "onPartial \"hold\" needs mode \"batch\": in \"stream\" each connection is sent when it is there")
	}
	if k.Body != "" {
		if k.Format == "ndjson" {
			p.add("body", "body is for format \"json\"; with \"ndjson\" there is nothing but rows")
		} else if _, err := newEnvelope(k.Body); err != nil {
			p.add("body", "%w", err)
		}
	}
	return o, errors.Join(p...)
}

// dedupes reports whether rows are compared.
func (o *webhookOptions) dedupes() bool { return !o.stream && !o.keys.Dedupe.off }

func (o *webhookOptions) keep() dedupe.Keep {
	if o.keys.Dedupe.last {
		return dedupe.Last
	}
	return dedupe.First
}

// client are the options of the client that sends. webhook says that the receiver knows Standard Webhooks.
func (o *webhookOptions) client(webhook bool) post.Options {
	k := &o.keys
	out := post.Options{URL: k.URL, Method: k.Method, Headers: k.Headers, Timeout: time.Duration(k.Timeout), Proxy: k.Proxy, NoExpect: !k.Expect, Conflict: k.Conflict,
		TLS: post.TLS{Cert: k.TLS.Cert, Key: k.TLS.Key, CA: k.TLS.CA, MinVersion: k.TLS.MinVersion}, Webhook: webhook, SigningSecrets: k.SigningSecrets,
		Receipt: k.Receipt, Success: k.Success, Parallel: k.Parallel, PerSecond: k.PerSecond}
	if k.Probe == "HEAD" {
		out.Probe = "HEAD"
	}
	if !webhook {
		out.Redirects = 3
	}
	out.Auth.Bearer = k.Auth.Bearer
	if b := k.Auth.Basic; b != nil {
		out.Auth.Basic = &post.Basic{User: b.User, Password: b.Password}
	}
	if a := k.Auth.APIKey; a != nil {
		out.Auth.APIKey = &post.APIKey{Name: a.Name, Value: a.Value, In: a.In}
	}
	if a := k.Auth.OAuth2; a != nil {
		out.Auth.OAuth2 = &post.OAuth2{TokenURL: a.TokenURL, ClientID: a.ClientID, ClientSecret: a.ClientSecret, Scopes: a.Scopes, Params: a.Params, ClientAuth: a.ClientAuth}
	}
	return out
}

// checkWebhook is the kinds' Check, and with warn their Warn.
func checkWebhook(table []pipeline.Option, webhook, warn bool) func(d *pipeline.Destination) error {
	return func(d *pipeline.Destination) error {
		o, err := readWebhookOptions(d.Mode, func(into any) error { return pipeline.DecodeOptions(d.Options, table, into) })
		if o == nil || warn && err != nil {
			return nil // told elsewhere
		}
		errs := []error{err}
		if warn {
			errs = nil
		}
		if !warn && o.keys.URL != "" && strings.Contains(strings.SplitN(cmp.Or(afterScheme(o.keys.URL), o.keys.URL), "/", 2)[0], "@") {
			errs = append(errs, problem{"url", errors.New("url has a user in it; say who sends with \"auth\": {\"basic\": ...}")})
		}
		for _, m := range o.client(webhook).Check() {
			if m.Warning == warn {
				errs = append(errs, problem{m.Key, fmt.Errorf("%s: %s", m.Key, m.Text)})
			}
		}
		return errors.Join(errs...)
	}
}

// afterScheme is a URL without its scheme; "" if it has none.
func afterScheme(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest
}
