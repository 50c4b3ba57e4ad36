package stages

import (
	"errors"
	"strings"
)

const mask = "****"

// redacted is err, or if its text holds one of the secrets, an error with the text that remains.
func redacted(err error, secrets []string) error {
	text := err.Error()
	clean := text
	for _, s := range secrets {
		if s != "" {
			clean = strings.ReplaceAll(clean, s, mask)
		}
	}
	if clean == text {
		return err
	}
	return errors.New(clean)
}
