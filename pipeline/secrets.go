package pipeline

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Secrets are the values that were expanded for one destination. Whatever its sink says passes through them on its way
// to a log, a record, a report or a person: an error of a library may repeat the request that it was about.
type Secrets struct {
	mu    sync.RWMutex
	forms map[string]bool // every spelling of every value
	long  []string        // the same, the longest first: one may be within another
}

// masked stands for a secret.
const masked = "***"

// minSecretBytes is the shortest value that is masked: masking a port or a word of two letters would leave no text
// legible.
const minSecretBytes = 4

// Add has a value masked from now on, such as a token that was fetched with one.
func (s *Secrets) Add(value string) {
	if len(value) < minSecretBytes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forms == nil {
		s.forms = map[string]bool{}
	}
	if s.forms[value] {
		return
	}
	for _, form := range spellings(value) {
		s.forms[form] = true
	}
	s.long = s.long[:0]
	for form := range s.forms {
		s.long = append(s.long, form)
	}
	slices.SortFunc(s.long, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
}

// spellings are the ways in which a value may stand in a text: as it is, as Base64 of both alphabets, also within that
// of a longer text, escaped for a URL, and quoted as JSON and Go do.
func spellings(value string) []string {
	all := []string{value, url.QueryEscape(value), url.PathEscape(value), lowerEscapes(url.QueryEscape(value)), lowerEscapes(url.PathEscape(value)),
		strings.Trim(strconv.Quote(value), `"`), strings.Trim(strconv.QuoteToASCII(value), `"`)}
	if text, err := json.Marshal(value); err == nil {
		all = append(all, string(text[1:len(text)-1]))
	}
	var plain strings.Builder
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if e.Encode(value) == nil {
		all = append(all, strings.TrimSpace(plain.String())[1:len(strings.TrimSpace(plain.String()))-1])
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		all = append(all, encoding.EncodeToString([]byte(value)))
		for before := range 3 { // bytes of a longer text that share a group of three with the value's first
			text := encoding.EncodeToString(append(make([]byte, before), value...))
			// A letter stands for six bits. Those of the value alone are the same whatever is around it.
			if inner := text[(before*8+5)/6 : (before+len(value))*8/6]; len(inner) >= minSecretBytes {
				all = append(all, inner)
			}
		}
	}
	return slices.DeleteFunc(all, func(form string) bool { return len(form) < minSecretBytes })
}

// lowerEscapes has the hexadecimal digits of %2F in lower case.
func lowerEscapes(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], strings.ToLower(text[i+1:i+3]))
		}
	}
	return string(b)
}

// Mask is a text without the values.
func (s *Secrets) Mask(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, form := range s.long {
		text = strings.ReplaceAll(text, form, masked)
	}
	return text
}

func (s *Secrets) maskAll(texts []string) {
	for i := range texts {
		texts[i] = s.Mask(texts[i])
	}
}

// Error is an error without the values, of the same kind and scope. The error inside is out of reach, for its text may
// have them: only a *RejectError and a *Trouble can be taken out, which are masked themselves.
func (s *Secrets) Error(err error) error {
	var own *maskedError
	if err == nil || errors.As(err, &own) && own.secrets == s {
		return err
	}
	return &maskedError{err, s}
}

type maskedError struct {
	err     error
	secrets *Secrets
}

func (e *maskedError) Error() string { return e.secrets.Mask(e.err.Error()) }

// Is implements errors.Is.
func (e *maskedError) Is(target error) bool { return errors.Is(e.err, target) }

// As implements errors.As.
func (e *maskedError) As(target any) bool {
	switch to := target.(type) {
	case **RejectError:
		var inner *RejectError
		if errors.As(e.err, &inner) {
			*to = &RejectError{Reason: e.secrets.Mask(inner.Reason)}
			return true
		}
	case **Owing:
		var inner *Owing
		if errors.As(e.err, &inner) {
			*to = &Owing{Reason: e.secrets.Mask(inner.Reason)}
			return true
		}
	case **Trouble:
		var inner *Trouble
		if errors.As(e.err, &inner) {
			*to = &Trouble{Scope: inner.Scope, After: inner.After, Err: e.secrets.Error(inner.Err)}
			return true
		}
	}
	return false
}

// Expand replaces references by expand, and masks every value from then on.
func (s *Secrets) Expand(text string, expand func(string) (string, error)) (string, error) {
	out, err := expandPieces(text, expand, s.Add)
	if err == nil && HasReference(text) {
		s.Add(out)
	}
	return out, err
}
