package config

import (
	"regexp"
	"strings"

	"fanmill/pipeline"
)

var anyReference = regexp.MustCompile(`\$\{[^}]*\}`)

// Secret is a secret of fanmill's own as the environment has it: itself, or ${file:PATH}. Anything else in it is
// taken as it is, since a password may have any sign.
func Secret(text string) (string, error) {
	path, ok := strings.CutPrefix(text, "${"+filePrefix)
	if !ok || !strings.HasSuffix(path, "}") {
		return text, nil
	}
	return secretFile(strings.TrimSuffix(path, "}"), ".")
}

// SecretLiterals names the connections whose dsn holds a password as such, rather than a reference ${VAR}.
func SecretLiterals(j *pipeline.Job, databases map[string]*pipeline.DatabaseKind) []string {
	var ids []string
	for i := range j.Connections {
		if pipeline.LiteralPassword(j.Connections[i].DSN, databases) {
			ids = append(ids, j.Connections[i].ID)
		}
	}
	return ids
}
