package stages

import (
	"errors"
	"strings"
)

const mask = "****"

// shortSecret is the length up to which a secret is masked as a word of its own only: a mask in the midst of other words would tell it.
const shortSecret = 3

// redacted is err with its kind, and with a text that holds none of the secrets.
func redacted(err error, secrets []string) error {
	clean := err.Error()
	for _, s := range secrets {
		if s != "" {
			clean = masked(clean, s)
		}
	}
	return reworded(err, clean)
}

// masked is text without a secret.
func masked(text, secret string) string {
	if len(secret) > shortSecret {
		return strings.ReplaceAll(text, secret, mask)
	}
	var out strings.Builder
	done := 0 // what of text is in out
	for {
		at := strings.Index(text[done:], secret)
		if at < 0 {
			out.WriteString(text[done:])
			return out.String()
		}
		at += done
		end := at + len(secret)
		out.WriteString(text[done:at])
		if (at == 0 || !wordByte(text[at-1])) && (end == len(text) || !wordByte(text[end])) {
			out.WriteString(mask)
		} else {
			out.WriteString(secret)
		}
		done = end
	}
}

// reworded is err with another text. What it is about can be asked for; the error itself, which may have a secret, cannot be had.
func reworded(err error, text string) error {
	if text == err.Error() {
		return err
	}
	return &rewordedError{text, err}
}

type rewordedError struct {
	text string
	err  error
}

func (e *rewordedError) Error() string { return e.text }

func (e *rewordedError) Is(target error) bool { return errors.Is(e.err, target) }
