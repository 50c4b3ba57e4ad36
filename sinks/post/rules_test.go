package post_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fanmill/internal/receiver"
	"fanmill/pipeline"
	"fanmill/sinks/post"
)

var update = flag.Bool("update", false, "write the table of the page on requests anew")

// TestTable holds the page on requests equal to the table that decides.
func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := post.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join("..", "..", "docs", "requests.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table: answers -->\n", "<!-- end of table -->"
	head, rest, found := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), begin)
	table, tail, ends := strings.Cut(rest, end)
	if !found || !ends {
		t.Fatalf("%s has no place for the table", page)
	}
	if table != b.String() && *update {
		if err := os.WriteFile(page, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if table != b.String() {
		t.Errorf("%s has another table; look at it and run with -update:\n%s", page, b.String())
	}
	if len(post.Rules()) != strings.Count(b.String(), "\n")-2 {
		t.Error("the table has not all rules")
	}
}

// TestStatuses sends a request for each status; what it must mean stands here once more, by hand.
func TestStatuses(t *testing.T) {
	target := []int{300, 301, 302, 303, 304, 307, 308, 399, 401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 417, 426, 431, 451, 501, 505, 511}
	ofRequest := []int{400, 412, 413, 415, 416, 418, 422, 423, 424, 428, 499}
	moment := []int{408, 409, 421, 425, 429, 500, 502, 503, 504, 506, 507, 508, 520, 530, 599, 600, 999}
	maybe := map[int]bool{302: true, 303: true, 408: true, 409: true, 500: true, 502: true, 503: true, 504: true, 506: true, 507: true,
		508: true, 520: true, 530: true, 599: true, 600: true, 999: true}
	w := newWorld(t, nil)
	check := func(status int, scope pipeline.Scope) {
		w.Script(receiver.Say(status, "because"))
		trouble, f := w.fail(t, request(fmt.Sprint("k", status), "{}"), scope)
		if f.MayHaveArrived != maybe[status] || f.Receipt.Status != status || trouble.After != 0 {
			t.Errorf("%d: may have arrived %v, status %d, after %s", status, f.MayHaveArrived, f.Receipt.Status, trouble.After)
		}
		if !strings.Contains(f.Error(), fmt.Sprint(status)) || !strings.Contains(f.Error(), "send request 3/12 (2 bytes, key k") {
			t.Errorf("%v", f)
		}
	}
	for _, s := range target {
		check(s, pipeline.OfTarget)
	}
	for _, s := range ofRequest {
		check(s, pipeline.OfRequest)
	}
	for _, s := range moment {
		check(s, pipeline.OfMoment)
	}
	for _, s := range []int{200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 299} {
		w.Script(receiver.Step{Store: true, Status: s})
		receipt := w.send(t, request(fmt.Sprint("k", s), "{}"))
		if named := len(receipt.Notes) > 0; receipt.Status != s || named != (s == 207) {
			t.Errorf("%d: %+v", s, receipt)
		}
	}
	w.sound(t)
}

func TestErrors(t *testing.T) {
	notFound := &net.DNSError{Err: "no such host", Name: "x.invalid", IsNotFound: true}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err     error
		reached bool
		row     string
	}{
		{fmt.Errorf("verify: %w", post.ErrDamaged), false, "bytes on disk are not those recorded"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true, "certificate not trusted"},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a"}, true, "certificate not trusted"},
		{x509.CertificateInvalidError{Reason: x509.Expired}, true, "certificate not trusted"},
		{post.HandshakeError(errors.New("tls: server selected unsupported protocol version 301")), true, "TLS refused"},
		{post.HandshakeError(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), true, "certificate not trusted"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, true, "TLS refused"},
		{http.ErrSchemeMismatch, true, "no TLS"},
		{post.HandshakeError(tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}), true, "no TLS"},
		{dial(notFound), false, "host unknown, never reached before"},
		{dial(notFound), true, "host unknown, reached before"},
		{dial(&net.DNSError{Err: "server misbehaving", IsTemporary: true}), false, "any other network error"},
		{dial(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), false, "any other network error"},
		{dial(syscall.ECONNREFUSED), false, "any other network error"},
		{syscall.ECONNRESET, true, "any other network error"},
		{io.ErrUnexpectedEOF, true, "any other network error"},
		{io.EOF, true, "any other network error"},
		{post.ProxyError(407), true, "proxy refuses (4xx but 408, 425, 429; 501)"},
		{post.ProxyError(403), true, "proxy refuses (4xx but 408, 425, 429; 501)"},
		{post.ProxyError(503), true, "any other network error"},
		{post.StalledError(post.Uploading), true, "no progress, no answer in time"},
		{context.Canceled, true, "the caller ended it"},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), true, "the caller ended it"},
		{errors.New("something new"), true, "any other network error"},
	} {
		if got := post.RuleOfError(c.err, c.reached).Answer; got != c.row {
			t.Errorf("%v (reached %v): %q, want %q", c.err, c.reached, got, c.row)
		}
	}
}

func TestConnectionRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.Stop()
	_, f := w.fail(t, request("a", "{}"), pipeline.OfMoment)
	if f.MayHaveArrived || f.Receipt.Wire != 0 || f.Phase != post.Connecting {
		t.Errorf("%v: %+v", f, f)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	if receipt := w.send(t, request("a", "{}")); receipt.Status != 200 {
		t.Errorf("%+v", receipt)
	}
}
