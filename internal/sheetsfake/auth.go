package sheetsfake

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

const tokenPath = "/token"

// signingKey is the key of every service account. It is short, for speed: nobody relies on it.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 1024) })

// KeyFile is the key file of a service account of this name, whose tokens this server gives.
func (s *Server) KeyFile(email string) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err) // the key was made here
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "fake", "private_key_id": "1", "client_email": email, "client_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"token_uri":   s.url + tokenPath,
	})
	if err != nil {
		panic(err)
	}
	return file
}

// RefuseTokens has the token endpoint answer 400 with this error, such as invalid_grant; "" gives tokens again.
func (s *Server) RefuseTokens(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenErr = code
}

// ExpireTokens makes every token given so far invalid.
func (s *Server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// token answers a JWT grant [RFC 7523].
func (s *Server) token(_ *http.Request, body []byte) (any, *apiError) {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return nil, oauthError("unsupported_grant_type", "Invalid grant_type")
	}
	if s.tokenErr != "" {
		return nil, oauthError(s.tokenErr, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
	}
	signed, signature, ok := cutLast(form.Get("assertion"))
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	hash := sha256.Sum256([]byte(signed))
	if !ok || err != nil || rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, hash[:], sig) != nil {
		return nil, oauthError("invalid_grant", "Invalid JWT Signature.")
	}
	_, claims, _ := strings.Cut(signed, ".")
	raw, err := base64.RawURLEncoding.DecodeString(claims)
	var c struct{ Iss, Aud, Scope string }
	if err != nil || json.Unmarshal(raw, &c) != nil || c.Iss == "" || c.Aud != s.url+tokenPath {
		return nil, oauthError("invalid_grant", "Invalid JWT.")
	}
	if c.Scope != "https://www.googleapis.com/auth/spreadsheets" {
		return nil, oauthError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
	}
	s.counts.Tokens++
	token := "ya29." + strconv.Itoa(s.counts.Tokens)
	s.tokens[token] = c.Iss
	return map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"}, nil
}

func cutLast(s string) (before, after string, ok bool) {
	at := strings.LastIndexByte(s, '.')
	if at < 0 {
		return "", "", false
	}
	return s[:at], s[at+1:], true
}
