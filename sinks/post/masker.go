package post

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// masked stands for a secret in a message.
const masked = "***"

// masker takes secrets out of texts: as they are, and as Base64, in a URL, in JSON and in a quoted Go text.
type masker struct {
	mu    sync.RWMutex
	forms []string // longest first, so that no part of a longer form is left
}

func newMasker(o Options) *masker {
	m := &masker{}
	m.add(o.Mask...)
	m.addURL(o.URL)
	m.addURL(o.Proxy)
	for name, value := range o.Headers {
		if confidential(name) {
			_, credentials, ok := strings.Cut(value, " ") // "Bearer TOKEN"
			m.add(value)
			if ok {
				m.add(credentials)
			}
		}
	}
	m.addAuth(o.Auth)
	for _, s := range o.SigningSecrets {
		m.add(s, strings.TrimPrefix(strings.TrimPrefix(s, "whsec_"), "raw:"))
		if secret, err := parseSecret(s); err == nil {
			m.add(string(secret))
		}
	}
	if strings.Contains(o.TLS.Key, pemBegin) {
		m.add(strings.Split(o.TLS.Key, "\n")...)
	}
	return m
}

func (m *masker) addAuth(a Auth) {
	m.add(a.Bearer)
	if b := a.Basic; b != nil {
		m.add(b.Password, base64.StdEncoding.EncodeToString([]byte(b.User+":"+b.Password)))
		if b.Password == "" {
			m.add(b.User)
		}
	}
	if a.APIKey != nil {
		m.add(a.APIKey.Value)
	}
	if a.OAuth2 != nil {
		m.add(a.OAuth2.ClientSecret)
		m.addURL(a.OAuth2.TokenURL)
		for _, v := range a.OAuth2.Params {
			m.add(v)
		}
	}
}

// addURL adds what an address may hide: a password, values of its query, and long segments of its path, which receivers
// of chat messages and the like use as their key.
func (m *masker) addURL(text string) {
	u, err := url.Parse(text)
	if err != nil {
		m.add(text)
		return
	}
	if password, ok := u.User.Password(); ok {
		m.add(password)
	}
	for _, values := range u.Query() {
		m.add(values...)
	}
	for segment := range strings.SplitSeq(u.EscapedPath(), "/") {
		if len(segment) >= 20 {
			plain, _ := url.PathUnescape(segment) // it is a path's own escaping
			m.add(segment, plain)
		}
	}
}

// confidential reports whether a header's value is a secret by the header's name.
func confidential(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "key", "token", "secret", "password", "cookie", "signature", "credential"},
		func(part string) bool { return strings.Contains(name, part) })
}

// add adds secrets; those shorter than minSecret would mask half of each message and are left out: see Check.
func (m *masker) add(secrets ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range secrets {
		s = strings.TrimSpace(s)
		if len(s) < minSecret || strings.HasPrefix(s, "-----") {
			continue
		}
		for _, form := range formsOf(s) {
			if len(form) >= minSecret {
				m.forms = append(m.forms, form)
			}
		}
	}
	slices.SortFunc(m.forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	m.forms = slices.Compact(m.forms)
}

// formsOf returns s as it is and as texts show it: escaped once, and escaped in two steps, such as a URL in JSON; the
// first two also in Base64.
func formsOf(s string) []string {
	once := append([]string{s}, escapes(s)...)
	slices.Sort(once)
	once = slices.Compact(once)
	forms := slices.Clone(once)
	for _, f := range once {
		forms = append(forms, escapes(f)...)
		forms = append(forms, base64Forms(f)...)
	}
	return forms
}

func escapes(s string) []string {
	quoted := strconv.Quote(s)
	list := []string{quoted[1 : len(quoted)-1]}
	for _, j := range []string{jsonText(s, false), jsonText(s, true)} {
		for _, text := range []string{j, asciiText(j)} {
			list = append(list, text, strings.ReplaceAll(text, "/", `\/`))
		}
	}
	for _, e := range []string{url.QueryEscape(s), url.PathEscape(s), (&url.URL{Path: s}).EscapedPath()} {
		list = append(list, e, lowerEscapes(e))
	}
	return list
}

func jsonText(s string, html bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	_ = e.Encode(s) // a string is always encoded
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// asciiText is JSON as Python and PHP write it: what is not ASCII as \uXXXX.
func asciiText(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// base64Forms returns what s is in Base64, alone and inside of a longer text: at each of the three places where its
// first byte may stand in a group, without the characters that depend on its neighbours.
func base64Forms(s string) []string {
	var forms []string
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, e.EncodeToString([]byte(s)))
		for shift := range 3 {
			text := e.EncodeToString(append(make([]byte, shift), s...))
			first := (shift*8 + 5) / 6 // the first character with bits of s only
			last := (shift + len(s)) * 8 / 6
			if last-first >= 6 { // shorter ones are found in any text
				forms = append(forms, text[first:last])
			}
		}
	}
	return forms
}

func (m *masker) text(s string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, form := range m.forms {
		s = strings.ReplaceAll(s, form, masked)
	}
	return s
}

// cut masks a text that was cut off: the beginning of a secret at its end is masked, too.
func (m *masker) cut(s string) string {
	s = m.text(s)
	m.mu.RLock()
	defer m.mu.RUnlock()
	longest := 0
	for _, form := range m.forms {
		for n := min(len(form), len(s)); n > longest; n-- {
			if strings.HasSuffix(s, form[:n]) {
				longest = n
			}
		}
	}
	if longest == 0 {
		return s
	}
	return s[:len(s)-longest] + masked
}

// escaped replaces what a terminal would obey: control characters, and bytes that are no UTF-8. Line ends and tabs are
// escaped as well.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
