package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"fanmill/pipeline"
)

// smtpTimeout bounds each step of a conversation with a server.
const smtpTimeout = 30 * time.Second

// sendEmail sends a mail with its attachments, or without them where the server says that it is too large.
func sendEmail(ctx context.Context, spec pipeline.NotifySpec) (string, error) {
	o, err := readEmail(spec)
	if err != nil {
		return "", err
	}
	files, notes := o.attachments(spec.Notice)
	answer, err := o.deliver(ctx, spec.Notice, files, notes)
	if len(files) > 0 && tooLarge(err) {
		notes = append(notes, "The files are not attached: the mail server takes no mail of this size.")
		answer, err = o.deliver(ctx, spec.Notice, nil, notes)
	}
	return answer, err
}

// errTooLarge is a mail above the size that a server has named.
var errTooLarge = errors.New("the mail is larger than the server takes")

func tooLarge(err error) bool {
	var sent *gomail.SendError
	return errors.Is(err, errTooLarge) || errors.As(err, &sent) && sent.ErrorCode() == 552
}

// deliver makes one attempt at a mail.
func (o *emailOptions) deliver(ctx context.Context, n *pipeline.Notice, files []attachment, notes []string) (string, error) {
	c, conn, hangUp, err := o.dial(ctx)
	if err != nil {
		return "", err
	}
	defer hangUp()
	msg, err := o.mail(n, files, notes)
	if err != nil {
		return "", targetTrouble("make the mail: %w", err)
	}
	if len(files) > 0 && !fits(conn, files) {
		return "", errTooLarge
	}
	if err := c.SendWithSMTPClient(conn, msg); err != nil {
		if tooLarge(err) && len(files) > 0 {
			return "", err
		}
		return "", o.trouble(ctx, err)
	}
	answer := fmt.Sprintf("%s took the mail for %s: %s", o.Host, counted(len(o.to)+len(o.cc)+len(o.bcc), "address"), oneLine(msg.ServerResponse(), maxText))
	return strings.Replace(answer, "addresss", "addresses", 1), nil
}

// fits compares the attached files with the size that a server has named. Base64 with its line ends makes them 1.37
// times as large; texts and headers have 64 KB.
func fits(conn *smtp.Client, files []attachment) bool {
	_, text := conn.Extension("SIZE")
	most, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || most <= 0 {
		return true // it names none
	}
	total := int64(64 << 10)
	for _, f := range files {
		total += int64(len(f.data)) * 137 / 100
	}
	return total <= most
}

func probeEmail(ctx context.Context, spec pipeline.NotifySpec) error {
	o, err := readEmail(spec)
	if err != nil {
		return err
	}
	_, _, hangUp, err := o.dial(ctx)
	if err == nil {
		hangUp()
	}
	return err
}

// dial connects to the server, encrypts as the target says, and logs in. hangUp ends that.
func (o *emailOptions) dial(ctx context.Context) (_ *gomail.Client, _ *smtp.Client, hangUp func(), _ error) {
	var wire net.Conn // which the package leaves open where encrypting or the login fails
	c, err := o.client(ctx, &wire)
	if err != nil {
		return nil, nil, nil, err
	}
	conn, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		if wire != nil {
			_ = wire.Close()
		}
		return nil, nil, nil, o.trouble(ctx, err)
	}
	return c, conn, func() {
		_ = c.CloseWithSMTPClient(conn)
		if wire != nil {
			_ = wire.Close()
		}
	}, nil
}

// client is a client whose connection is kept in wire once there is one.
func (o *emailOptions) client(ctx context.Context, wire *net.Conn) (*gomail.Client, error) {
	config := &tls.Config{ServerName: o.Host, MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pool, err := authorities(o.CA)
		if err != nil {
			return nil, targetTrouble("ca %w", err)
		}
		config.RootCAs = pool
	}
	options := []gomail.Option{gomail.WithPort(o.Port), gomail.WithTimeout(smtpTimeout), gomail.WithTLSConfig(config)}
	if o.Security != secureTLS { // with a dialer of ours the package does not know that the connection is encrypted
		options = append(options, gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
			var err error
			*wire, err = (&net.Dialer{}).DialContext(ctx, network, address)
			return *wire, err
		}))
	}
	switch o.Security {
	case secureTLS:
		options = append(options, gomail.WithSSL())
	case secureOpportunistic:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	case secureNone:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	switch {
	case o.OAuth2 != nil:
		token, err := o.token(ctx)
		if err != nil {
			return nil, err
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthXOAUTH2), gomail.WithUsername(o.User), gomail.WithPassword(token))
	case o.Password != "":
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(o.User), gomail.WithPassword(o.Password))
	}
	c, err := gomail.NewClient(o.Host, options...)
	if err != nil {
		return nil, targetTrouble("%w", err)
	}
	return c, nil
}

// token asks for an access token by client credentials. Its error has no token, and no secret but what is masked.
func (o *emailOptions) token(ctx context.Context) (string, error) {
	config := clientcredentials.Config{ClientID: o.OAuth2.ClientID, ClientSecret: o.OAuth2.ClientSecret, TokenURL: o.OAuth2.TokenURL, Scopes: o.OAuth2.Scopes}
	if len(config.Scopes) == 0 {
		config.Scopes = []string{"https://outlook.office365.com/.default"}
	}
	ctx, cancel := context.WithTimeout(ctx, smtpTimeout)
	defer cancel()
	token, err := config.Token(ctx)
	var refused *oauth2.RetrieveError
	var network *url.Error
	switch {
	case err == nil:
		return token.AccessToken, nil
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode < 500 && refused.Response.StatusCode != 429:
		return "", targetTrouble("ask for a token: %d %s; check oauth2", refused.Response.StatusCode, oneLine(refused.ErrorCode+" "+refused.ErrorDescription, maxText))
	case errors.As(err, &network):
		err = network.Err // its text has the address
	}
	return "", &pipeline.Trouble{Err: fmt.Errorf("ask for a token: %s", oneLine(err.Error(), maxText))}
}

// trouble says what an error of a server means.
func (o *emailOptions) trouble(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &pipeline.Trouble{Err: fmt.Errorf("send mail by %s: %w", o.Host, cause)}
	}
	text := oneLine(err.Error(), maxText)
	scope, code := pipeline.OfMoment, replyCode(err)
	var sent *gomail.SendError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case strings.Contains(text, "5.7.30"), strings.Contains(text, "5.7.139"):
		scope, text = pipeline.OfTarget, text+"; the server takes no password any more (Exchange Online switches basic logins off): use oauth2, with client credentials"
	case strings.Contains(text, "does not support STARTTLS"):
		scope, text = pipeline.OfTarget, "the server does not encrypt (no STARTTLS); use port 465 with security: tls if it has that. security: opportunistic would send the mail for everybody to read"
	case errors.As(err, &unknown), errors.As(err, &hostname), errors.As(err, &invalid):
		scope, text = pipeline.OfTarget, text+"; set ca to the authority that signed it, and host to the name in the certificate"
	case errors.As(err, &sent) && code >= 500 && (sent.Reason == gomail.ErrSMTPDataClose || sent.Reason == gomail.ErrSMTPData):
		scope = pipeline.OfRequest
	case code == 530 || code == 534 || code == 535 || code == 538:
		scope, text = pipeline.OfTarget, text+"; check user and password"
		if o.OAuth2 != nil {
			text = strings.TrimSuffix(text, "user and password") + "user and oauth2, and that the application may send as this mailbox"
		} else if strings.HasSuffix(strings.ToLower(o.Host), "office365.com") || strings.HasSuffix(strings.ToLower(o.Host), "outlook.com") {
			text += "; Exchange Online switches passwords off: use oauth2"
		}
	case code >= 500:
		scope, text = pipeline.OfTarget, text+"; check from, to and what the account may send"
	}
	return &pipeline.Trouble{Scope: scope, Err: fmt.Errorf("send mail by %s:%d: %s", o.Host, o.Port, text)}
}

// replyCode is the server's code in an error; 0 without one.
func replyCode(err error) int {
	var sent *gomail.SendError
	if errors.As(err, &sent) && sent.ErrorCode() > 0 {
		return sent.ErrorCode()
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if code, bad := strconv.Atoi(strings.SplitN(e.Error()+" ", " ", 2)[0]); bad == nil && code >= 400 && code < 600 {
			return code
		}
	}
	return 0
}

// authorities are those of the system and of a PEM text, or of a file that has one.
func authorities(ca string) (*x509.CertPool, error) {
	data := []byte(ca)
	if !strings.Contains(ca, "-----BEGIN ") {
		var err error
		if data, err = os.ReadFile(ca); err != nil {
			return nil, fmt.Errorf("is neither a PEM text nor a file that can be read: %w", err)
		}
	}
	pool, err := x509.SystemCertPool()
	if err != nil { // a system without a store of its own
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("has no certificate in PEM")
	}
	return pool, nil
}
