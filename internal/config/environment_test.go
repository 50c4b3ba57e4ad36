package config_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"fanmill/internal/config"
)

// clear takes the variables away that this machine may have set.
func clearEnv(t *testing.T) {
	t.Helper()
	for _, name := range []string{"RESUME_JOBS", "NATS_URL", "FANMILL_DATA", "LOG_FORMAT", "LOG_LEVEL"} {
		t.Setenv(name, "")
	}
}

func TestEnvironment(t *testing.T) {
	clearEnv(t)
	e, err := config.Environment(nil)
	if err != nil || e.ResumeJobs || e.NATSURL != "" || e.LogFormat != "text" || e.Level() != slog.LevelInfo || !filepath.IsAbs(e.Data) || filepath.Base(e.Data) != "fanmill" {
		t.Errorf("defaults: %+v, %v", e, err)
	}
	t.Setenv("RESUME_JOBS", "Yes")
	t.Setenv("LOG_FORMAT", "JSON")
	t.Setenv("LOG_LEVEL", "warn")
	t.Setenv("FANMILL_DATA", "/data")
	e, err = config.Environment(map[string]string{"LOG_LEVEL": "debug", "NATS_URL": "nats://dotenv"})
	if err != nil || !e.ResumeJobs || e.LogFormat != "json" || e.Level() != slog.LevelWarn || e.Data != "/data" {
		t.Errorf("set: %+v, %v", e, err)
	}
}

// All that is wrong is said at once, by the names people set.
func TestEnvironmentProblems(t *testing.T) {
	clearEnv(t)
	t.Setenv("RESUME_JOBS", "maybe")
	t.Setenv("LOG_FORMAT", "xml")
	t.Setenv("LOG_LEVEL", "loud")
	_, err := config.Environment(nil)
	for _, want := range []string{`RESUME_JOBS is "maybe"; use true or false`, `LOG_FORMAT is "xml"; use text or json`, `LOG_LEVEL is "loud"; use debug, info, warn or error`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}
