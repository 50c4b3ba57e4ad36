package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"fanmill/internal/config"
)

// References of a job that is not at hand: the environment first, then the folders in their order, and files of secrets
// where they lie.
func TestExpandIn(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		filepath.Join(a, ".env"): "ONE=a1\nTWO=a2\n", filepath.Join(b, ".env"): "TWO=b2\nTHREE=b3\nFOUR=b4\n", filepath.Join(b, "pw"): "secret\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FOUR", "env4")
	expand := config.ExpandIn(a, b)
	for text, want := range map[string]string{"${ONE}${TWO}${THREE}${FOUR}": "a1a2b3env4", "${ONE} ${file:pw}": "a1 secret", "x$$": "x$"} {
		if got, err := expand(text); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	var unset *config.UnsetError
	if _, err := expand("${NOWHERE}"); !errors.As(err, &unset) || unset.Name != "NOWHERE" {
		t.Errorf("%v", err)
	}
}
