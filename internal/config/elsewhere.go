package config

import (
	"os"
	"path/filepath"
)

// ExpandIn replaces references in texts of a job that is not at hand here: only what the store has of its run is. What
// the environment lacks is looked up in the .env of the folders, the first one first; relative paths of ${file:PATH}
// begin in the first folder in which all of a text's are. The errors are those of Expand.
func ExpandIn(folders ...string) func(text string) (string, error) {
	return func(text string) (string, error) {
		var dotenvs []map[string]string
		for _, folder := range folders {
			vars, err := DotEnv(filepath.Join(folder, ".env"))
			if err != nil {
				return "", err
			}
			dotenvs = append(dotenvs, vars)
		}
		lookup := func(name string) (string, bool) {
			v, ok := os.LookupEnv(name)
			for i := 0; !ok && i < len(dotenvs); i++ {
				v, ok = dotenvs[i][name]
			}
			return v, ok
		}
		var first error
		for _, folder := range folders {
			out, err := Expand(text, lookup, folder)
			if err == nil {
				return out, nil
			}
			if first == nil {
				first = err
			}
		}
		return "", first
	}
}
