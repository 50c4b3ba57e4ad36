package notify

import (
	"cmp"
	"fmt"
	"net/mail"
	"slices"
	"strings"

	"fanmill/pipeline"
)

func emailKind() *pipeline.NotifyKind {
	return &pipeline.NotifyKind{Name: "email", Label: "e-mail", Description: "A mail, in HTML and as text, by an SMTP server.", Options: emailTable,
		Check: checkEmail, Send: sendEmail, Probe: probeEmail}
}

// How a connection to a server is encrypted.
const (
	secureStartTLS      = "starttls"
	secureTLS           = "tls"
	secureOpportunistic = "opportunistic"
	secureNone          = "none"
)

const implicitTLSPort = 465

var emailTable = []pipeline.Option{
	{Name: "host", Types: []string{"string"}, References: true, Use: pipeline.Free, Required: true, Example: "smtp.example.com", Description: "The SMTP server."},
	{Name: "port", Types: []string{"integer"}, Use: pipeline.Free, Min: 1, Max: 65535, Default: 587, Description: "Its port. On 465 the connection is encrypted from its beginning."},
	{Name: "security", Types: []string{"string"}, Use: pipeline.Free, Enum: []string{secureStartTLS, secureTLS, secureOpportunistic, secureNone}, Absent: "`tls` on port 465, else `starttls`",
		Description: "`starttls` refuses a server that does not encrypt; `tls` is encrypted from the beginning; `opportunistic` encrypts where the server can; `none` never does."},
	{Name: "ca", Types: []string{"string"}, References: true, Use: pipeline.Free, Absent: "those of the system",
		Description: "Authorities of the server's certificate besides those of the system: PEM, or the path of a file."},
	{Name: "user", Types: []string{"string"}, References: true, Use: pipeline.Free, Absent: "no login", Example: "reports@example.com", Description: "Who logs in."},
	{Name: "password", Types: []string{"string"}, Use: pipeline.Secret, Absent: "no login", Example: "${SMTP_PASSWORD}", Description: "The password."},
	{Name: "oauth2", Types: []string{"object"}, Use: pipeline.Free, Absent: "`password`",
		Description: "XOAUTH2 in place of a password, with client credentials: what Exchange Online asks for.",
		Fields: []pipeline.Option{
			{Name: "tokenUrl", Types: []string{"string"}, References: true, Required: true, Use: pipeline.Free, Example: "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token", Description: "Where tokens are asked for."},
			{Name: "clientId", Types: []string{"string"}, References: true, Required: true, Use: pipeline.Free, Example: "00000000-0000-0000-0000-000000000000", Description: "The application."},
			{Name: "clientSecret", Types: []string{"string"}, Use: pipeline.Secret, Required: true, Example: "${SMTP_CLIENT_SECRET}", Description: "Its secret."},
			{Name: "scopes", Types: []string{"array"}, Use: pipeline.Free, Min: 1, Max: 20, Items: &pipeline.Option{Types: []string{"string"}}, Absent: "`https://outlook.office365.com/.default`", Description: "What the token is for."},
		}},
	{Name: "from", Types: []string{"string"}, References: true, Use: pipeline.Free, Required: true, Example: "Reports <reports@example.com>", Description: "The sender."},
	{Name: "to", Types: []string{"array"}, Use: pipeline.Free, Min: 1, Max: 50, Items: address, Required: true, Example: []string{"finance@example.com"}, Description: "Who gets it."},
	{Name: "cc", Types: []string{"array"}, Use: pipeline.Free, Min: 1, Max: 50, Items: address, Absent: "nobody", Description: "Who gets a copy."},
	{Name: "bcc", Types: []string{"array"}, Use: pipeline.Free, Min: 1, Max: 50, Items: address, Absent: "nobody", Description: "Who gets a copy that the others do not see."},
	{Name: "attach", Types: []string{"boolean"}, Use: pipeline.Free, Default: false, Description: "Whether the files of the run are attached, where the process that sends the mail has them and they are small enough. Else the mail says where they are."},
	{Name: "maxAttachment", Types: []string{"integer"}, Use: pipeline.Free, Min: 1, Max: 100, Default: 10, Description: "How large the attached files may be together, in MB."},
}

var address = &pipeline.Option{Types: []string{"string"}, References: true}

type emailOptions struct {
	Host          string       `json:"host"`
	Port          int          `json:"port"`
	Security      string       `json:"security"`
	CA            string       `json:"ca"`
	User          string       `json:"user"`
	Password      string       `json:"password"`
	OAuth2        *emailOAuth2 `json:"oauth2"`
	From          string       `json:"from"`
	To            []string     `json:"to"`
	Cc            []string     `json:"cc"`
	Bcc           []string     `json:"bcc"`
	Attach        bool         `json:"attach"`
	MaxAttachment int64        `json:"maxAttachment"` // MB

	from        *mail.Address
	to, cc, bcc []*mail.Address
}

type emailOAuth2 struct {
	TokenURL     string   `json:"tokenUrl"`
	ClientID     string   `json:"clientId"`
	ClientSecret string   `json:"clientSecret"`
	Scopes       []string `json:"scopes"`
}

// readEmail reads the options of a target. An address that is none is an error of the target.
func readEmail(spec pipeline.NotifySpec) (*emailOptions, error) {
	var o emailOptions
	if err := spec.Target.Decode(emailTable, spec.Expand, &o); err != nil {
		return nil, err
	}
	o.Security = cmp.Or(o.Security, map[bool]string{true: secureTLS, false: secureStartTLS}[o.Port == implicitTLSPort])
	var err error
	if o.from, err = parseAddress(o.From); err != nil {
		return nil, targetTrouble("from: %w", err)
	}
	for _, list := range []struct {
		key   string
		texts []string
		into  *[]*mail.Address
	}{{"to", o.To, &o.to}, {"cc", o.Cc, &o.cc}, {"bcc", o.Bcc, &o.bcc}} {
		for _, text := range list.texts {
			a, err := parseAddress(text)
			if err != nil {
				return nil, targetTrouble("%s: %w", list.key, err)
			}
			*list.into = append(*list.into, a)
		}
	}
	return &o, nil
}

// parseAddress reads an address with or without a name. What could end a header is no part of one.
func parseAddress(text string) (*mail.Address, error) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return nil, fmt.Errorf("an address has one line")
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no address; write name@example.com, or Name <name@example.com>", text)
	}
	a.Name = oneLine(a.Name, maxName)
	return a, nil
}

// checkEmail reports what the table of options does not show.
func checkEmail(t *pipeline.NotifyTarget) error {
	var o emailOptions
	if err := pipeline.DecodeOptions(t.Options, emailTable, &o); err != nil {
		return nil // reported by the table
	}
	var bad mistakes
	switch {
	case o.OAuth2 != nil && o.Password != "":
		bad.add("oauth2", "there is a password as well; keep one of the two")
	case o.OAuth2 != nil && o.User == "":
		bad.add("user", `is missing; XOAUTH2 logs a mailbox in: add "user": "reports@example.com"`)
	case o.Password != "" && o.User == "":
		bad.add("user", "is missing beside password")
	case o.User != "" && o.Password == "" && o.OAuth2 == nil:
		bad.add("user", "has neither a password nor oauth2; add one of them, or remove user where the server asks for no login")
	}
	if (o.Password != "" || o.OAuth2 != nil) && (o.Security == secureNone || o.Security == secureOpportunistic) {
		bad.add("security", "would show the login to whoever listens; use "+secureStartTLS+" or "+secureTLS)
	}
	for _, list := range []struct {
		key   string
		texts []string
	}{{"from", []string{o.From}}, {"to", o.To}, {"cc", o.Cc}, {"bcc", o.Bcc}} {
		for _, text := range list.texts {
			if text == "" || pipeline.HasReference(text) {
				continue
			}
			if _, err := parseAddress(text); err != nil {
				bad.add(list.key, err.Error())
			}
		}
	}
	return bad.err()
}

// mistakes are several errors, each at its key.
type mistakes []error

func (m *mistakes) add(key, text string) { *m = append(*m, &keyError{key, text}) }

func (m *mistakes) err() error {
	if len(*m) == 0 {
		return nil
	}
	return joined(slices.Clone(*m))
}

type joined []error

func (j joined) Unwrap() []error { return j }

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i := range j {
		texts[i] = j[i].Error()
	}
	return strings.Join(texts, "; ")
}
