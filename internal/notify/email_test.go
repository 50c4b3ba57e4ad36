package notify_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/notify"
	"fanmill/pipeline"
)

// mailTo is a target that goes to a server of a test.
func (s *mailServer) target(change func(map[string]any)) *pipeline.NotifyTarget {
	options := map[string]any{"host": "127.0.0.1", "port": s.port, "ca": s.ca, "from": "Reports <reports@example.com>", "to": []string{"finance@example.com"}}
	if change != nil {
		change(options)
	}
	raw, err := json.Marshal(options)
	if err != nil {
		s.t.Fatal(err)
	}
	return &pipeline.NotifyTarget{ID: "finance", Type: "email", On: pipeline.NoticeEvents(), Options: raw}
}

func sendMail(t *testing.T, target *pipeline.NotifyTarget, n *pipeline.Notice) (string, error) {
	t.Helper()
	return notify.Kinds(nil)["email"].Send(t.Context(), pipeline.NotifySpec{Target: target, Notice: n, Expand: expandVariables})
}

// expandVariables replaces the references of the tests.
func expandVariables(text string) (string, error) {
	return strings.NewReplacer("${SMTP_PASSWORD}", "correct horse", "${SECRET}", "client-secret-7").Replace(text), nil
}

const (
	hindi = "जीएसटी बिक्री डेटा – सभी शाखाएँ, दैनिक रिपोर्ट और मिलान (अप्रैल)"
	tamil = "அனைத்து கிளைகளின் விற்பனை அறிக்கை – சென்னை மற்றும் மதுரை"
)

func noticeOf(name string) *pipeline.Notice {
	at := time.Date(2026, 12, 1, 1, 30, 0, 0, time.UTC)
	return &pipeline.Notice{ID: "abcdefgh234567ij", Event: pipeline.NoticePartial, Job: "gst", JobName: name, Run: "20261201-013000-abc", State: pipeline.RunPartial, TimeZone: "Asia/Kolkata",
		At: at, Started: at.Add(-time.Minute), Ended: at, Connections: 3, Complete: 2, Missing: []pipeline.NoticeMissing{{ID: "c3", Name: "Pune", Why: "login timeout"}},
		Places: []pipeline.NoticePlace{{Destination: "excel", Where: "D:/Reports/gst.xlsx", Host: "vm", Rows: 1234567, Bytes: 5 << 20, State: pipeline.RecordFinished}}, Rows: 1234567}
}

// parsed is a mail as a mail program reads it.
type parsed struct {
	*mail.Message
	text, html string
	files      map[string]string
}

func parse(t *testing.T, data string) parsed {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	p := parsed{Message: m, files: map[string]string{}}
	var walk func(header interface{ Get(string) string }, body io.Reader)
	walk = func(header interface{ Get(string) string }, body io.Reader) {
		kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
		if err != nil {
			t.Fatalf("%v in %q", err, header.Get("Content-Type"))
		}
		if strings.HasPrefix(kind, "multipart/") {
			r := multipart.NewReader(body, params["boundary"])
			for {
				part, err := r.NextPart()
				if err == io.EOF {
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				walk(part.Header, part)
			}
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		disposition, named, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
		switch {
		case disposition == "attachment":
			for line := range strings.SplitSeq(string(text), "\r\n") {
				if len(line) > 76 {
					t.Errorf("a line of an attachment has %d characters", len(line))
				}
			}
			if text, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(string(text), "\r\n", "")); err != nil {
				t.Error(err)
			}
			p.files[named["filename"]] = string(text)
		case kind == "text/html":
			p.html = string(text)
		default:
			p.text = string(text)
		}
	}
	walk(m.Header, m.Body)
	return p
}

// A mail is encrypted, has a login, is the same at a second attempt, and has what happened in both of its bodies. Who
// gets a blind copy is in the envelope alone.
func TestMail(t *testing.T) {
	s := newMailServer(t)
	target := s.target(func(o map[string]any) {
		o["user"], o["password"] = "reports@example.com", "${SMTP_PASSWORD}"
		o["cc"], o["bcc"] = []string{"Audit <audit@example.com>"}, []string{"owner@example.com"}
	})
	for range 2 {
		answer, err := sendMail(t, target, noticeOf("GST"))
		if err != nil || !strings.Contains(answer, "queued as 7") || !strings.Contains(answer, "3 addresses") {
			t.Fatal(answer, err)
		}
	}
	mails := s.took()
	m := parse(t, mails[0].data)
	if again := parse(t, mails[1].data); m.Header.Get("Message-Id") != again.Header.Get("Message-Id") || m.Header.Get("Message-Id") != "<abcdefgh234567ij@example.com>" || m.Header.Get("Date") != again.Header.Get("Date") {
		t.Errorf("two attempts are %s and %s", m.Header.Get("Message-Id"), again.Header.Get("Message-Id"))
	}
	if !mails[0].encrypted || mails[0].auth != "PLAIN |reports@example.com|correct horse" {
		t.Errorf("encrypted %v, login %q", mails[0].encrypted, mails[0].auth)
	}
	if want := []string{"finance@example.com", "audit@example.com", "owner@example.com"}; !slices.Equal(mails[0].to, want) || strings.Contains(mails[0].data, "owner@example.com") {
		t.Errorf("the envelope has %q; the mail\n%s", mails[0].to, mails[0].data)
	}
	if got := m.Header.Get("Subject"); got != "GST: partial, 1 of 3 connections missing" {
		t.Errorf("the subject is %q", got)
	}
	for _, body := range []string{m.text, m.html} {
		for _, want := range []string{"2 of 3 complete", "1,234,567", "Pune", "login timeout", "D:/Reports/gst.xlsx on vm", "5.0 MB", "2026-12-01 07:00:00 IST"} {
			if !strings.Contains(body, want) {
				t.Errorf("there is no %q in\n%s", want, body)
			}
		}
	}
}

// On a server that is encrypted from the beginning the login is sent, too.
func TestMailByImplicitTLS(t *testing.T) {
	s := newMailServer(t)
	s.is(func() { s.implicit = true })
	target := s.target(func(o map[string]any) {
		o["user"], o["password"], o["security"] = "reports@example.com", "${SMTP_PASSWORD}", "tls"
	})
	if _, err := sendMail(t, target, noticeOf("GST")); err != nil {
		t.Fatal(err)
	}
	if m := s.took()[0]; !m.encrypted || m.auth != "PLAIN |reports@example.com|correct horse" {
		t.Errorf("encrypted %v, login %q", m.encrypted, m.auth)
	}
	if err := notify.Kinds(nil)["email"].Probe(t.Context(), pipeline.NotifySpec{Target: target, Expand: expandVariables}); err != nil || len(s.took()) != 1 {
		t.Errorf("a look at the server: %v, %d mails", err, len(s.took()))
	}
}

// Names in Indian scripts survive in subject, sender and names of files: encoded words have at most 75 characters,
// whole characters each, and lines at most 998. No name ends a header, or becomes markup.
func TestMailHeaders(t *testing.T) {
	s := newMailServer(t)
	for _, name := range []string{hindi, tamil, "GST\r\nBcc: evil@example.com\r\n\r\n<script>alert(1)</script>", "=?utf-8?q?x?= <b>&amp;", strings.Repeat("long name ", 30), strings.Repeat("ஸ்ரீ", 100)} {
		dir := t.TempDir()
		file := filepath.Join(dir, strings.Map(func(r rune) rune {
			if strings.ContainsRune("\r\n/\\:*?\"<>|", r) {
				return '_'
			}
			return r
		}, string([]rune(name)[:min(40, len([]rune(name)))]))+".xlsx")
		writeRunFile(t, file, "20261201-013000-abc", "the workbook")
		n := noticeOf(name)
		n.Missing[0].Name = name
		n.Places[0].File = file
		if _, err := sendMail(t, s.target(func(o map[string]any) { o["from"], o["attach"] = "\""+tamil+"\" <reports@example.com>", true }), n); err != nil {
			t.Fatal(err)
		}
		sent := s.took()[len(s.took())-1]
		m := parse(t, sent.data)
		if len(sent.to) != 1 || m.Header.Get("Bcc") != "" {
			t.Errorf("%q adds a header: it goes to %q", name, sent.to)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if start := strings.Join(strings.Fields(name), " "); err != nil || !strings.HasPrefix(subject, string([]rune(start)[:min(60, len([]rune(start)))])) {
			t.Errorf("the subject of %q is %q, %v", name, subject, err)
		}
		from, err := mail.ParseAddress(m.Header.Get("From"))
		if err != nil || from.Name != tamil {
			t.Errorf("the sender is %+v, %v", from, err)
		}
		if m.files[filepath.Base(file)] != "the workbook" {
			t.Errorf("the files of the mail are %q, not %q", m.files, filepath.Base(file))
		}
		head, _, _ := strings.Cut(sent.data, "\r\n\r\n")
		for line := range strings.SplitSeq(sent.data, "\r\n") {
			if len(line) > 998 {
				t.Errorf("a line has %d bytes", len(line))
			}
		}
		for _, word := range regexp.MustCompile(`=\?[^?]+\?[bq]\?[^?]*\?=`).FindAllString(head, -1) {
			if text, err := new(mime.WordDecoder).Decode(word); len(word) > 75 || err != nil || strings.ContainsRune(text, '\uFFFD') {
				t.Errorf("the encoded word %q has %d characters, %q, %v", word, len(word), text, err)
			}
		}
		if strings.Contains(m.html, "<script>") || strings.Contains(m.html, "<b>&amp;") {
			t.Errorf("%q becomes markup:\n%s", name, m.html)
		}
	}
}

func writeRunFile(t *testing.T, path, run, text string) {
	t.Helper()
	report, err := json.Marshal(pipeline.Report{Run: run, Length: int64(len(text))})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{path: []byte(text), path + ".manifest.json": report} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A file is attached if it is this run's and small enough, and if the server takes a mail of that size. Else the mail
// says where it is, and why it is not attached.
func TestMailAttachments(t *testing.T) {
	s := newMailServer(t)
	file := filepath.Join(t.TempDir(), "gst.xlsx")
	writeRunFile(t, file, "20261201-013000-abc", strings.Repeat("x", 300<<10))
	attach := func(o map[string]any) { o["attach"] = true }
	for _, c := range []struct {
		name     string
		prepare  func()
		attached bool
		says     string
	}{
		{"small", func() {}, true, ""},
		{"too large for the server's SIZE", func() { s.is(func() { s.size = 400 << 10 }) }, false, "takes no mail of this size"},
		{"too large as the server finds out", func() { s.is(func() { s.size = 0 }); s.says("END", "552 5.3.4 message too big") }, false, "takes no mail of this size"},
		{"too large for the target", func() {
			attach = func(o map[string]any) { o["attach"], o["maxAttachment"] = true, 1 }
			writeRunFile(t, file, "20261201-013000-abc", strings.Repeat("x", 2<<20))
		}, false, "maxAttachment leaves 1.0 MB"},
		{"of another run", func() { writeRunFile(t, file, "another", "x") }, false, "has changed since this run"},
		{"gone", func() { _ = os.Remove(file) }, false, "is not there"},
	} {
		c.prepare()
		n := noticeOf("GST")
		n.Places[0].File = file
		if _, err := sendMail(t, s.target(attach), n); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		mails := s.took()
		m := parse(t, mails[len(mails)-1].data)
		if (len(m.files) > 0) != c.attached || !strings.Contains(m.text, c.says) || !strings.Contains(m.html, c.says) {
			t.Errorf("%s: %d files, and it says\n%s", c.name, len(m.files), m.text)
		}
	}
}

// What a server refuses has a scope and says what helps, without the password.
func TestMailTroubles(t *testing.T) {
	login := func(o map[string]any) { o["user"], o["password"] = "reports@example.com", "${SMTP_PASSWORD}" }
	for _, c := range []struct {
		name    string
		prepare func(*mailServer)
		target  func(map[string]any)
		scope   pipeline.Scope
		says    string
	}{
		{"no STARTTLS", func(s *mailServer) { s.is(func() { s.plain = true }) }, nil, pipeline.OfTarget, "no STARTTLS"},
		{"a certificate of nobody", func(*mailServer) {}, func(o map[string]any) { delete(o, "ca") }, pipeline.OfTarget, "set ca to"},
		{"a wrong password", func(s *mailServer) { s.says("AUTH", "535 5.7.8 no, correct horse is wrong") }, login, pipeline.OfTarget, "check user and password"},
		{"basic logins are off", func(s *mailServer) {
			s.says("MAIL", "550 5.7.30 Basic authentication is not supported for Client Submission.")
		}, login, pipeline.OfTarget, "use oauth2"},
		{"busy", func(s *mailServer) { s.says("MAIL", "451 4.7.1 try again later") }, nil, pipeline.OfMoment, "try again later"},
		{"no such recipient", func(s *mailServer) { s.says("RCPT", "550 5.1.1 no such user") }, nil, pipeline.OfTarget, "no such user"},
		{"the content is refused", func(s *mailServer) { s.says("END", "554 5.6.0 looks like spam") }, nil, pipeline.OfRequest, "looks like spam"},
		{"busy at the end", func(s *mailServer) { s.says("END", "452 4.3.1 out of space") }, nil, pipeline.OfMoment, "out of space"},
	} {
		s := newMailServer(t)
		c.prepare(s)
		_, err := sendMail(t, s.target(c.target), noticeOf("GST"))
		if err == nil || pipeline.TroubleOf(err).Scope != c.scope || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "correct horse") {
			t.Errorf("%s: of the %s: %v", c.name, pipeline.TroubleOf(err).Scope, err)
		}
		if len(s.took()) != 0 {
			t.Errorf("%s: the mail was sent", c.name)
		}
	}
}

// XOAUTH2 asks for a token with client credentials, and logs in with it. A refused secret is of the target and is not
// shown.
func TestMailOAuth2(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, secret, _ := r.BasicAuth()
		if secret == "" {
			secret = r.FormValue("client_secret")
		}
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "https://outlook.office365.com/.default" || secret != "client-secret-7" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"no such secret"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"token-7","token_type":"Bearer","expires_in":3600}`)
	}))
	defer tokens.Close()
	s := newMailServer(t)
	target := func(secret string) *pipeline.NotifyTarget {
		return s.target(func(o map[string]any) {
			o["user"] = "reports@example.com"
			o["oauth2"] = map[string]any{"tokenUrl": tokens.URL, "clientId": "app", "clientSecret": secret}
		})
	}
	if _, err := sendMail(t, target("${SECRET}"), noticeOf("GST")); err != nil {
		t.Fatal(err)
	}
	if got, want := s.took()[0].auth, "XOAUTH2 user=reports@example.com|auth=Bearer token-7||"; got != want {
		t.Errorf("the login is %q, not %q", got, want)
	}
	_, err := sendMail(t, target("wrong-secret"), noticeOf("GST"))
	if err == nil || pipeline.TroubleOf(err).Scope != pipeline.OfTarget || !strings.Contains(err.Error(), "check oauth2") || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("a refused secret: %v", err)
	}
}
