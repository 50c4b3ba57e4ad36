package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fanmill/internal/config"
)

// clearEnv takes the variables away that this machine may have set.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, v := range config.Variables(nil) {
		t.Setenv(v.Name, "")
	}
}

// unset takes variables out of the environment for the length of a test.
func unset(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		t.Setenv(name, "") // puts back what was there
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

// A secret of fanmill's own may stand in a file; whatever else is in it is taken as it is.
func TestSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("p$$w\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"": "", "p$$w${X}": "p$$w${X}", "${file:" + path + "}": "p$$w", "${file:" + path: "${file:" + path} {
		if got, err := config.Secret(text); got != want || err != nil {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	if _, err := config.Secret("${file:" + path + "x}"); err == nil || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	clearEnv(t)
	e, err := config.Environment(nil)
	if err != nil || e.ResumeJobs || e.NATSURL != "" || e.LogFormat != "text" || e.Level() != slog.LevelInfo || !filepath.IsAbs(e.Data) || filepath.Base(e.Data) != "fanmill" ||
		e.MemoryThresholdMB != 1024 || e.QueryTimeout() != 5*time.Minute {
		t.Errorf("defaults: %+v, %v", e, err)
	}
	t.Setenv("RESUME_JOBS", "Yes")
	t.Setenv("LOG_FORMAT", "JSON")
	t.Setenv("LOG_LEVEL", "warn")
	t.Setenv("FANMILL_DATA", "/data")
	t.Setenv("MEMORY_THRESHOLD_MB", " 128 ")
	t.Setenv("QUERY_TIMEOUT_MS", "0")
	e, err = config.Environment(map[string]string{"LOG_LEVEL": "debug", "NATS_URL": "nats://dotenv"})
	if err != nil || !e.ResumeJobs || e.LogFormat != "json" || e.Level() != slog.LevelWarn || e.Data != "/data" || e.MemoryThresholdMB != 128 || e.QueryTimeout() != 0 {
		t.Errorf("set: %+v, %v", e, err)
	}
}

// All that is wrong is said at once, by the names people set.
func TestEnvironmentProblems(t *testing.T) {
	clearEnv(t)
	t.Setenv("RESUME_JOBS", "maybe")
	t.Setenv("LOG_FORMAT", "xml")
	t.Setenv("LOG_LEVEL", "loud")
	t.Setenv("MEMORY_THRESHOLD_MB", "127")
	t.Setenv("QUERY_TIMEOUT_MS", "5s")
	_, err := config.Environment(nil)
	for _, want := range []string{
		`RESUME_JOBS is "maybe"; use true or false`, `LOG_FORMAT is "xml"; use text or json`, `LOG_LEVEL is "loud"; use debug, info, warn or error`,
		`MEMORY_THRESHOLD_MB is "127"; use a whole number of at least 128`, `QUERY_TIMEOUT_MS is "5s"; use a whole number of at least 100, or 0 for no limit`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	t.Setenv("QUERY_TIMEOUT_MS", "99")
	if _, err := config.Environment(nil); err == nil || !strings.Contains(err.Error(), "QUERY_TIMEOUT_MS") {
		t.Errorf("a timeout of 99 ms: %v", err)
	}
}

// The variables say what they are, where their values come from, and no password.
func TestVariables(t *testing.T) {
	clearEnv(t)
	t.Setenv("NATS_URL", "nats://user:hunter2@a:4222,nats://to@ken@b:4222,tls://c:4222")
	t.Setenv("LOG_LEVEL", "debug")
	t.Setenv("NATS_USER", "hunter2")
	t.Setenv("NATS_CREDS", "/etc/u.creds")
	unset(t, "NATS_PASSWORD", "NATS_TOKEN")
	// LOG_FORMAT is in the environment, as empty as clearEnv left it, and so not the file's.
	vars := config.Variables(map[string]string{"MEMORY_THRESHOLD_MB": "2048", "LOG_LEVEL": "warn", "LOG_FORMAT": "json",
		"NATS_PASSWORD": "hunter2", "NATS_TOKEN": "${file:/run/secrets/nats}"})
	want := []config.Variable{
		{Name: "NATS_URL", Value: "nats://****@a:4222,nats://****@b:4222,tls://c:4222", Source: config.SourceEnvironment, Secret: true},
		{Name: "NATS_USER", Value: "****", Source: config.SourceEnvironment, Secret: true}, // it may be a token
		{Name: "NATS_PASSWORD", Value: "****", Source: config.SourceDotEnv, Secret: true},
		{Name: "NATS_TOKEN", Value: "${file:/run/secrets/nats}", Source: config.SourceDotEnv},
		{Name: "NATS_CREDS", Value: "/etc/u.creds", Source: config.SourceEnvironment},
		{Name: "LOG_LEVEL", Default: "info", Value: "debug", Source: config.SourceEnvironment},
		{Name: "LOG_FORMAT", Default: "text", Value: "text", Source: config.SourceDefault},
		{Name: "QUERY_TIMEOUT_MS", Default: "300000", Value: "300000", Source: config.SourceDefault},
	}
	for _, w := range want {
		i := slices.IndexFunc(vars, func(v config.Variable) bool { return v.Name == w.Name })
		if i < 0 || vars[i].Description == "" {
			t.Errorf("%s is missing, or says nothing of itself", w.Name)
			continue
		}
		if w.Description = vars[i].Description; vars[i] != w {
			t.Errorf("got %+v, want %+v", vars[i], w)
		}
	}
}
