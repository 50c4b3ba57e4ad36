package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/joho/godotenv"
)

// DotEnv reads the .env file beside a job file; a map without entries if there is none. The environment wins over it:
// it is read, never loaded into the process. In a value without single quotes $ begins a reference to another variable
// of the file, so a password with a $ needs single quotes.
func DotEnv(jobPath string) (map[string]string, error) {
	path := dotEnvPath(jobPath)
	vars, err := godotenv.Read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return map[string]string{}, nil
	case err != nil:
		// The parser's message may quote the line, and the line may hold a password.
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("read %s: %w", path, cause(err))
		}
		return nil, fmt.Errorf("read %s: a line is not NAME=value; quote values with spaces or # in them", path)
	}
	return vars, nil
}

func dotEnvPath(jobPath string) string { return filepath.Join(filepath.Dir(jobPath), ".env") }
