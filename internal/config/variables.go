package config

import (
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Where a variable's value comes from.
const (
	SourceEnvironment = "environment"
	SourceDotEnv      = ".env"
	SourceDefault     = "default"
)

// Variable is one of the variables that fanmill itself reads, as it stands now.
type Variable struct {
	Name        string `json:"name"`
	Default     string `json:"default"`
	Value       string `json:"value"` // as it was set, or the default; passwords and tokens in it are masked
	Source      string `json:"source"`
	Description string `json:"description"`
	Secret      bool   `json:"secret,omitempty"` // something was masked
}

// Variables are all variables that fanmill itself reads, with their current values. dotenv stands in for what the
// environment does not have, as in Environment. Values need not be allowed ones.
func Variables(dotenv map[string]string) []Variable {
	environment := env.ToMap(os.Environ())
	out := make([]Variable, 0, len(settings))
	for _, s := range settings {
		v := Variable{Name: s.name, Default: s.byDefault, Description: s.description, Source: SourceDefault}
		if s.name == "FANMILL_DATA" {
			v.Default = defaultData(runtime.GOOS, environment)
		}
		v.Value = v.Default
		text, set := environment[s.name]
		source := SourceEnvironment
		if !set {
			text, source = dotenv[s.name], SourceDotEnv
		}
		if strings.TrimSpace(text) != "" {
			v.Value, v.Source = masked(s.name, text), source
			v.Secret = v.Value != text
		}
		out = append(out, v)
	}
	return out
}

// masked is a variable's value as it may be shown. NATS_USER may be a token, and then nobody can tell it from a name.
func masked(name, text string) string {
	switch name {
	case "NATS_USER", "NATS_PASSWORD", "NATS_TOKEN", "FANMILL_HTTP_TOKEN":
		if !strings.HasPrefix(text, "${"+filePrefix) {
			return "****"
		}
	}
	return Masked(text)
}

var credentials = regexp.MustCompile(`://[^/\s,]*@`)

// Masked hides the credentials of URLs; there may be several, with commas between them.
func Masked(text string) string { return credentials.ReplaceAllString(text, "://****@") }
