package sheets

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
	"google.golang.org/api/sheets/v4"
)

// Credentials are a service account's key. Its text is never in an error.
type Credentials struct {
	Email string // whom a spreadsheet is shared with
	jwt   *jwt.Config
}

// ParseCredentials reads the content of a service account's key file. Keys of other types are refused: they are of
// people, expire, or run programs.
func ParseCredentials(text string) (*Credentials, error) {
	var file struct {
		Type        string `json:"type"`
		ClientEmail string `json:"client_email"`
		PrivateKey  string `json:"private_key"`
		TokenURI    string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(strings.TrimSpace(text)), &file); err != nil {
		return nil, errors.New("credentials: this is not the JSON of a service account's key file: download a key of type JSON from Google Cloud, IAM, Service accounts")
	}
	switch {
	case file.Type != "service_account":
		return nil, fmt.Errorf("credentials: the key is of type %q; fanmill takes service_account only", file.Type)
	case file.ClientEmail == "" || file.PrivateKey == "" || file.TokenURI == "":
		return nil, errors.New("credentials: the key file lacks client_email, private_key or token_uri: download it again")
	}
	c, err := google.JWTConfigFromJSON([]byte(text), sheets.SpreadsheetsScope)
	if err != nil {
		return nil, errors.New("credentials: the private key cannot be read: download the key file again")
	}
	return &Credentials{Email: file.ClientEmail, jwt: c}, nil
}

// key names the account for what is shared in a process.
func (c *Credentials) key() string { return c.Email + " " + c.jwt.PrivateKeyID }
