package config

import (
	"fmt"
	"strconv"
	"strings"
)

// alternatives lists what is allowed.
func alternatives(allowed []string) string {
	quoted := make([]string, len(allowed))
	for i, a := range allowed {
		quoted[i] = strconv.Quote(a)
	}
	last := len(quoted) - 1
	if last == 0 {
		return quoted[0]
	}
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// notAllowed says that a word is not one of a few, and which one was likely meant.
func notAllowed(word string, allowed []string) string {
	text := fmt.Sprintf("must be %s, not %q", alternatives(allowed), word)
	if like := Closest(word, allowed); like != "" {
		text += fmt.Sprintf("; did you mean %q?", like)
	}
	return text
}
