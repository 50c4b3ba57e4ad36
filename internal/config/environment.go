package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Env is what the environment says. Flags win over it.
type Env struct {
	// ResumeJobs continues a job's unfinished run instead of starting afresh.
	ResumeJobs bool `env:"RESUME_JOBS" envDefault:"false"`
	// NATSURL is an external NATS server; "" is the embedded one.
	NATSURL string `env:"NATS_URL"`
	// Data is the folder of the embedded server and of fanmill's own state.
	Data string `env:"FANMILL_DATA"`
	// LogFormat is text or json.
	LogFormat string `env:"LOG_FORMAT" envDefault:"text"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `env:"LOG_LEVEL" envDefault:"info"`
}

// Level is LogLevel for slog.
func (e Env) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(e.LogLevel)) // Environment has refused others; the zero Level is info
	return level
}

// Environment reads the process's environment. The variables of dotenv (see DotEnv; nil for none) stand in for those
// that the environment does not have. All that is wrong is in the error, with the values allowed.
func Environment(dotenv map[string]string) (Env, error) {
	vars := map[string]string{}
	for name, v := range dotenv {
		vars[name] = v
	}
	for name, v := range env.ToMap(os.Environ()) {
		vars[name] = v
	}
	return readEnv(vars)
}

func readEnv(vars map[string]string) (Env, error) {
	var e Env
	var problems []error
	// The parser's own messages name the field of the struct; people know the variable.
	bad := func(name, text, allowed string) {
		problems = append(problems, fmt.Errorf("environment: %s is %q; use %s", name, text, allowed))
	}
	err := env.ParseWithOptions(&e, env.Options{Environment: vars, FuncMap: map[reflect.Type]env.ParserFunc{
		reflect.TypeFor[bool](): func(s string) (any, error) {
			switch strings.ToLower(strings.TrimSpace(s)) {
			case "true", "1", "yes", "on":
				return true, nil
			case "false", "0", "no", "off", "":
				return false, nil
			}
			bad("RESUME_JOBS", s, "true or false")
			return false, nil
		},
	}})
	if err != nil {
		return Env{}, fmt.Errorf("environment: %w", err)
	}
	if e.LogFormat = strings.ToLower(strings.TrimSpace(e.LogFormat)); e.LogFormat != "text" && e.LogFormat != "json" {
		bad("LOG_FORMAT", vars["LOG_FORMAT"], "text or json")
	}
	e.LogLevel = strings.ToLower(strings.TrimSpace(e.LogLevel))
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, e.LogLevel) {
		bad("LOG_LEVEL", vars["LOG_LEVEL"], "debug, info, warn or error")
	}
	if e.Data == "" {
		if e.Data, err = defaultData(runtime.GOOS, vars); err != nil {
			problems = append(problems, err)
		}
	}
	return e, errors.Join(problems...)
}

// defaultData is the user's own folder for the data of applications that stays on this machine.
func defaultData(goos string, vars map[string]string) (string, error) {
	home := vars["HOME"]
	switch {
	case goos == "windows" && vars["LOCALAPPDATA"] != "":
		return filepath.Join(vars["LOCALAPPDATA"], "fanmill"), nil
	case goos == "darwin" && home != "":
		return filepath.Join(home, "Library", "Application Support", "fanmill"), nil
	case goos != "windows" && filepath.IsAbs(vars["XDG_DATA_HOME"]): // [XDG Base Directory]: relative ones are ignored
		return filepath.Join(vars["XDG_DATA_HOME"], "fanmill"), nil
	case goos != "windows" && home != "":
		return filepath.Join(home, ".local", "share", "fanmill"), nil
	}
	return "", errors.New("environment: this user has no folder for application data; set FANMILL_DATA to a folder")
}

// DotEnv reads the .env file beside a job file; a map without entries if there is none. The environment wins over it:
// it is read, never loaded into the process. In a value without single quotes $ begins a reference to another variable
// of the file, so a password with a $ needs single quotes.
func DotEnv(jobPath string) (map[string]string, error) {
	path := filepath.Join(filepath.Dir(jobPath), ".env")
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
