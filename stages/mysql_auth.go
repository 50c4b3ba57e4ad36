package stages

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"

	"filippo.io/edwards25519"
)

// mysqlAuth proves a password in the way that the server asks for [MySQL Internals, "Authentication Methods"].
type mysqlAuth struct {
	plugin   string
	nonce    []byte
	password string
	secure   bool // nobody can listen: TLS, or a socket of this machine
	clear    bool // the DSN allows to send the password as it is
}

// mysqlAuthError is a way to log in that is not spoken here.
type mysqlAuthError struct{ plugin string }

func (e *mysqlAuthError) Error() string {
	switch e.plugin {
	case "mysql_old_password":
		return "the account has a password of the kind before MySQL 4.1, which is not safe to send; set it again: SET PASSWORD"
	case "mysql_clear_password":
		return "the account is checked by a system that needs the password as it is (such as PAM or LDAP); allowCleartextPasswords=true sends it, " +
			"which is safe with tls=true only"
	case "dialog", "auth_gssapi_client", "authentication_kerberos_client", "authentication_ldap_sasl_client":
		return fmt.Sprintf("the account logs in by %s, which is not supported; give the branch's reader an account with a password", e.plugin)
	default:
		return fmt.Sprintf("the account logs in by %q, which is not supported; one with mysql_native_password, caching_sha2_password or ed25519 can be used", e.plugin)
	}
}

// Messages of caching_sha2_password and sha256_password.
const (
	authKnown     = 3 // the server has checked the proof
	authUnknown   = 4 // it needs the password itself
	authAskKey    = 2 // caching_sha2_password: send your public key
	authAskKeySHA = 1 // sha256_password: the same
)

// first is what is sent at once, or when the server asks for another way.
func (a *mysqlAuth) first() ([]byte, error) {
	// What a server appends to a nonce is a zero byte or nothing; the nonce itself may end with one.
	length := 20
	if a.plugin == "client_ed25519" {
		length = 32
	}
	if len(a.nonce) < length {
		return nil, errMySQLShape
	}
	a.nonce = a.nonce[:length]
	switch a.plugin {
	case "mysql_native_password", "":
		return nativeProof(a.nonce, a.password), nil
	case "caching_sha2_password":
		return sha2Proof(a.nonce, a.password), nil
	case "sha256_password":
		switch {
		case a.password == "":
			return []byte{0}, nil
		case a.secure:
			return a.plain(), nil
		default:
			return []byte{authAskKeySHA}, nil
		}
	case "client_ed25519":
		return ed25519Proof(a.nonce, a.password)
	case "mysql_clear_password":
		if a.clear {
			return a.plain(), nil
		}
	}
	return nil, &mysqlAuthError{a.plugin}
}

// more answers a question. done means that the server only tells that its next packet decides.
func (a *mysqlAuth) more(body []byte) (reply []byte, done bool, err error) {
	switch a.plugin {
	case "caching_sha2_password":
		switch {
		case len(body) == 1 && body[0] == authKnown:
			return nil, true, nil
		case len(body) == 1 && body[0] == authUnknown && a.secure:
			return a.plain(), false, nil
		case len(body) == 1 && body[0] == authUnknown:
			return []byte{authAskKey}, false, nil
		case len(body) > 1 && !a.secure:
			reply, err = a.encrypted(body)
			return reply, false, err
		}
	case "sha256_password":
		if len(body) > 1 && !a.secure {
			reply, err = a.encrypted(body)
			return reply, false, err
		}
	}
	return nil, false, errMySQLShape
}

func (a *mysqlAuth) plain() []byte { return append([]byte(a.password), 0) }

// encrypted is the password for the owner of an RSA key, PEM.
func (a *mysqlAuth) encrypted(key []byte) ([]byte, error) {
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, errMySQLShape
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the server's public key: %w", err)
	}
	key509, ok := public.(*rsa.PublicKey)
	if !ok {
		return nil, errMySQLShape
	}
	text := a.plain()
	for i := range text {
		text[i] ^= a.nonce[i%len(a.nonce)]
	}
	return rsa.EncryptOAEP(sha1.New(), rand.Reader, key509, text, nil)
}

// nativeProof is SHA1(password) xor SHA1(nonce + SHA1(SHA1(password))).
func nativeProof(nonce []byte, password string) []byte {
	if password == "" {
		return nil
	}
	proof := sha1.Sum([]byte(password))
	stored := sha1.Sum(proof[:])
	salted := sha1.Sum(append(slices.Clone(nonce), stored[:]...))
	for i := range proof {
		proof[i] ^= salted[i]
	}
	return proof[:]
}

// sha2Proof is SHA256(password) xor SHA256(SHA256(SHA256(password)) + nonce).
func sha2Proof(nonce []byte, password string) []byte {
	if password == "" {
		return nil
	}
	proof := sha256.Sum256([]byte(password))
	stored := sha256.Sum256(proof[:])
	salted := sha256.Sum256(append(stored[:], nonce...))
	for i := range proof {
		proof[i] ^= salted[i]
	}
	return proof[:]
}

// ed25519Proof is MariaDB's: the signature of the nonce by the key whose seed is the password [RFC 8032] 5.1.6. crypto/ed25519 takes
// seeds of 32 bytes only.
func ed25519Proof(nonce []byte, password string) ([]byte, error) {
	seed := sha512.Sum512([]byte(password))
	secret, err := edwards25519.NewScalar().SetBytesWithClamping(seed[:32])
	if err != nil {
		return nil, err
	}
	public := new(edwards25519.Point).ScalarBaseMult(secret).Bytes()
	digest := func(parts ...[]byte) (*edwards25519.Scalar, error) {
		h := sha512.New()
		for _, p := range parts {
			h.Write(p)
		}
		return edwards25519.NewScalar().SetUniformBytes(h.Sum(nil))
	}
	r, err := digest(seed[32:], nonce)
	if err != nil {
		return nil, err
	}
	commitment := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	k, err := digest(commitment, public, nonce)
	if err != nil {
		return nil, err
	}
	return append(commitment, edwards25519.NewScalar().MultiplyAdd(k, secret, r).Bytes()...), nil
}
