package pipeline

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
)

// Token spells an id as one subject token or key segment: bytes outside [A-Za-z0-9_-] become =XX. Different ids have
// different tokens.
func Token(id string) string {
	plain := true
	for i := 0; i < len(id); i++ {
		plain = plain && tokenByte(id[i])
	}
	if plain && id != "" {
		return id
	}
	if id == "" {
		return "="
	}
	var b strings.Builder
	for i := 0; i < len(id); i++ {
		if tokenByte(id[i]) {
			b.WriteByte(id[i])
		} else {
			fmt.Fprintf(&b, "=%02X", id[i])
		}
	}
	return b.String()
}

// Untoken is Token's inverse. What Token did not make is left as it is.
func Untoken(s string) string {
	if s == "=" {
		return ""
	}
	var b strings.Builder
	for rest := s; ; {
		plain, coded, more := strings.Cut(rest, "=")
		b.WriteString(plain)
		if !more {
			return b.String()
		}
		if len(coded) < 2 {
			return s
		}
		c, err := strconv.ParseUint(coded[:2], 16, 8)
		if err != nil {
			return s
		}
		b.WriteByte(byte(c))
		rest = coded[2:]
	}
}

func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// NewToken makes a random name for a claim, a process or an attempt: 16 characters of [a-z2-7].
func NewToken() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}

// LastToken is what stands behind the last point of a subject.
func LastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
