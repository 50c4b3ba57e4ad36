package stages

import (
	"errors"
	"strings"
	"testing"
)

// Text where a length is read is a conversation that broke, and may go well the next time; a row that is too large never will.
func TestWireTellsTextFromRows(t *testing.T) {
	for text, wantLarge := range map[string]bool{"D\x10\x00\x00\x01": true, "DSERR": false, "E    ": false, "D\xff\xff\xff\xff": false} {
		_, _, err := newWire(strings.NewReader(text)).next()
		var large rowTooLarge
		if err == nil || errors.As(err, &large) != wantLarge {
			t.Errorf("%q: %v", text, err)
		}
	}
}
