package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Env is what the environment says. Flags win over it.
type Env struct {
	ResumeJobs        bool   `env:"RESUME_JOBS"`
	MemoryThresholdMB int    `env:"MEMORY_THRESHOLD_MB"`
	QueryTimeoutMS    int    `env:"QUERY_TIMEOUT_MS"` // 0 is no limit
	NATSURL           string `env:"NATS_URL"`         // "", and no context: the embedded server
	NATSContext       string `env:"NATS_CONTEXT"`
	NATSUser          string `env:"NATS_USER"`
	NATSPassword      string `env:"NATS_PASSWORD"`
	NATSToken         string `env:"NATS_TOKEN"`
	NATSCreds         string `env:"NATS_CREDS"`
	NATSNKey          string `env:"NATS_NKEY"`
	NATSCA            string `env:"NATS_CA"`
	NATSCert          string `env:"NATS_CERT"`
	NATSKey           string `env:"NATS_KEY"`
	Data              string `env:"FANMILL_DATA"` // "" where this user has no folder for it
	Spool             string `env:"FANMILL_SPOOL"`
	SpoolMaxMB        int64  `env:"FANMILL_SPOOL_MAX_MB"`
	Places            string `env:"FANMILL_PLACES"`
	HTTP              string `env:"FANMILL_HTTP"` // address of the page, or off
	HTTPToken         string `env:"FANMILL_HTTP_TOKEN"`
	HTTPCert          string `env:"FANMILL_HTTP_CERT"`
	HTTPKey           string `env:"FANMILL_HTTP_KEY"`
	LogFormat         string `env:"LOG_FORMAT"` // text or json
	LogLevel          string `env:"LOG_LEVEL"`  // debug, info, warn or error
}

// Level is LogLevel for slog.
func (e Env) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(e.LogLevel)) // Environment has refused others; the zero Level is info
	return level
}

// QueryTimeout is the longest time that a database may deliver nothing; 0 is no limit.
func (e Env) QueryTimeout() time.Duration { return time.Duration(e.QueryTimeoutMS) * time.Millisecond }

// setting is a variable of fanmill's.
type setting struct {
	name        string
	byDefault   string
	description string
	allowed     string                           // in words; "" is anything
	read        func(text string) (string, bool) // brings a value to its usual spelling, if it is allowed; nil takes all
}

// settings are all variables, in the order in which they are shown.
var settings = []setting{
	{"RESUME_JOBS", "false", "go on with a job's unfinished run instead of starting over", "true or false", readSwitch},
	{"MEMORY_THRESHOLD_MB", "1024", "resident memory in MB above which queries pause, and connections are left for a resume if that does not help",
		"a whole number of at least 128", readNumber(128, false)}, // less does not hold the batches of one connection
	{"QUERY_TIMEOUT_MS", "300000", "the longest time in milliseconds that a database may deliver nothing; 0 is no limit",
		"a whole number of at least 100, or 0 for no limit", readNumber(100, true)}, // less is a slip of the unit
	{"FANMILL_DATA", "", "folder of the embedded NATS server and of fanmill's own state", "", nil},
	{"FANMILL_SPOOL", "", "folder for rows that wait to be written or sent whole; by default spool in FANMILL_DATA", "", nil},
	{"FANMILL_SPOOL_MAX_MB", "0", "the most that such rows may take on the disk in MB, of all runs and all processes that share the folder; queries wait above it; 0 is no limit but the disk's last twentieth",
		"a whole number of at least 64, or 0", readNumber(64, true)},
	{"FANMILL_PLACES", "", "folders that destinations with a place are written in, NAME=FOLDER each, with ; between", "", nil},
	{"NATS_URL", "", "an external NATS server to use instead of the embedded one", "", nil},
	{"NATS_CONTEXT", "", "a context of the nats CLI that says where NATS is and who connects", "", nil},
	{"NATS_USER", "", "user of the NATS server; without NATS_PASSWORD a token", "", nil},
	{"NATS_PASSWORD", "", "its password, or ${file:PATH}", "", nil},
	{"NATS_TOKEN", "", "token for the NATS server, or ${file:PATH}", "", nil},
	{"NATS_CREDS", "", "file of the credentials of the NATS user", "", nil},
	{"NATS_NKEY", "", "file of the nkey seed of the NATS user", "", nil},
	{"NATS_CA", "", "file of the authorities that sign the certificate of the NATS server", "", nil},
	{"NATS_CERT", "", "file of the certificate to show to the NATS server", "", nil},
	{"NATS_KEY", "", "file of that certificate's key", "", nil},
	{"FANMILL_HTTP", "127.0.0.1:8420", "address of the page of fanmill serve and fanmill ui, or: off", "", nil},
	{"FANMILL_HTTP_TOKEN", "", "token that the page asks for, or ${file:PATH}; on other addresses than loopback there must be one", "", nil},
	{"FANMILL_HTTP_CERT", "", "file of the page's certificate for TLS", "", nil},
	{"FANMILL_HTTP_KEY", "", "file of that certificate's key", "", nil},
	{"LOG_FORMAT", "text", "what log lines look like: text for people, json for machines", "text or json", readWord("text", "json")},
	{"LOG_LEVEL", "info", "the least that is logged: debug, info, warn or error", "debug, info, warn or error", readWord("debug", "info", "warn", "error")},
}

func readSwitch(text string) (string, bool) {
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		return "true", true
	case "false", "0", "no", "off":
		return "false", true
	}
	return "", false
}

func readNumber(low int, zero bool) func(string) (string, bool) {
	return func(text string) (string, bool) {
		v, err := strconv.ParseInt(text, 10, 32)
		return strconv.FormatInt(v, 10), err == nil && (int(v) >= low || zero && v == 0)
	}
}

func readWord(words ...string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		text = strings.ToLower(text)
		return text, slices.Contains(words, text)
	}
}

// Environment reads the process's environment. The variables of dotenv (see DotEnv; nil for none) stand in for those
// that the environment does not have. All that is wrong is in the error, with the values allowed.
func Environment(dotenv map[string]string) (Env, error) {
	vars := map[string]string{}
	maps.Copy(vars, dotenv)
	maps.Copy(vars, env.ToMap(os.Environ()))
	clean := map[string]string{}
	var problems []error
	for _, s := range settings {
		text := strings.TrimSpace(vars[s.name])
		if text == "" {
			text = s.byDefault
		}
		if s.read != nil {
			usual, ok := s.read(text)
			if !ok {
				problems = append(problems, fmt.Errorf("environment: %s is %q; use %s", s.name, text, s.allowed))
				usual = s.byDefault
			}
			text = usual
		}
		clean[s.name] = text
	}
	var e Env
	if err := env.ParseWithOptions(&e, env.Options{Environment: clean}); err != nil {
		return Env{}, fmt.Errorf("environment: %w", err)
	}
	if e.Data == "" {
		e.Data = defaultData(runtime.GOOS, vars)
	}
	return e, errors.Join(problems...)
}

// defaultData is the user's own folder for the data of applications that stays on this machine; "" if there is none,
// as for a service without a home: who needs one says so then.
func defaultData(goos string, vars map[string]string) string {
	home := vars["HOME"]
	switch {
	case goos == "windows" && vars["LOCALAPPDATA"] != "":
		return filepath.Join(vars["LOCALAPPDATA"], "fanmill")
	case goos == "darwin" && home != "":
		return filepath.Join(home, "Library", "Application Support", "fanmill")
	case goos != "windows" && filepath.IsAbs(vars["XDG_DATA_HOME"]): // [XDG Base Directory]: relative ones are ignored
		return filepath.Join(vars["XDG_DATA_HOME"], "fanmill")
	case goos != "windows" && home != "":
		return filepath.Join(home, ".local", "share", "fanmill")
	}
	return ""
}
