package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fanmill/internal/config"
	"fanmill/internal/screen"
)

// settings are what flags and environment say, flags first.
type settings struct {
	env      config.Env
	roles    []string // of serve; none is all
	sinks    []string // types of destinations that it writes; none is all
	parallel int
	logMB    int64
	timeout  time.Duration // destinationTimeout
	lease    time.Duration
	workDir  string            // of logs
	envDir   string            // of jobs of the store: their .env, and where relative paths of their secrets begin
	places   map[string]string // folders that this process offers, by name
	id       string            // of the run, if the command line gives one
	nats     natsFlags
	store    string // the flags that led to the store, for commands that are to find it again
	quiet    bool
	json     bool
	verbose  bool
	strict   bool
}

const (
	defaultParallel = 4
	defaultLogMB    = 512
	defaultTimeout  = 10 * time.Minute
)

// The least that flags may set; the environment has the same.
const (
	minLogMB        = 4
	minMemoryMB     = 128
	minQueryTimeout = 100 * time.Millisecond
	minPatience     = time.Second
)

// flags are what commands take. A command adds the groups that have an effect on it, and no others.
type flags struct {
	data, logFormat, logLevel    string
	envDir                       string
	nats                         natsFlags
	json, verbose, quiet, strict bool
	parallel, memoryMB           int
	logMB                        int64
	lease, queryTimeout, timeout time.Duration
	connections, params, places  []string
}

// add gives a command groups of flags.
func (f *flags) add(c *cobra.Command, groups ...func(*flags, *pflag.FlagSet)) {
	for _, g := range groups {
		g(f, c.Flags())
	}
}

// logFlags are of every command that may have something to say beside its result.
func logFlags(f *flags, fl *pflag.FlagSet) {
	fl.StringVar(&f.logFormat, "log-format", "", "`form` of the lines on standard error: text or json (also LOG_FORMAT; default text)")
	fl.StringVar(&f.logLevel, "log-level", "", "least `level` of those lines: debug, info, warn or error (also LOG_LEVEL; default info)")
}

// storeFlags say where fanmill keeps its state.
func storeFlags(f *flags, fl *pflag.FlagSet) {
	fl.StringVar(&f.data, "data", "", "`folder` of the embedded server and fanmill's state (also FANMILL_DATA; default the user's application data)")
	f.nats.add(fl)
}

// envDirFlag is of commands that run jobs, or read them as if they were to run.
func envDirFlag(f *flags, fl *pflag.FlagSet) {
	fl.StringVar(&f.envDir, "env-dir", "", "`folder` whose .env, and files of secrets, jobs of the store refer to (default the data folder)")
}

// jsonFlag is of commands that print a result.
func jsonFlag(f *flags, fl *pflag.FlagSet) {
	fl.BoolVar(&f.json, "json", false, "print the result as JSON")
}

// listFlag is of commands whose result lists connections.
func listFlag(f *flags, fl *pflag.FlagSet) {
	fl.BoolVar(&f.verbose, "verbose", false, "list all connections, also of more than 60")
}

// jobFlag is of commands that read a job file.
func jobFlag(f *flags, fl *pflag.FlagSet) {
	fl.BoolVar(&f.strict, "strict", false, "unknown keys and other warnings of a job file are errors")
}

// paramFlag is of commands that ask databases, now or later.
func paramFlag(f *flags, fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.params, "param", nil, "`NAME=VALUE` of a parameter, in place of the job's; may be given several times")
}

// connectionsFlag chooses connections.
func connectionsFlag(f *flags, fl *pflag.FlagSet) {
	fl.StringSliceVar(&f.connections, "connections", nil, "`ids` of the connections to ask, with commas between (default all)")
}

// queryFlag is of commands that ask databases themselves.
func queryFlag(f *flags, fl *pflag.FlagSet) {
	fl.DurationVar(&f.queryTimeout, "query-timeout", 0, "the longest `time` that a database may deliver nothing; 0 is no limit (also QUERY_TIMEOUT_MS; default 5m)")
}

// workFlags say how runs are carried out.
func workFlags(f *flags, fl *pflag.FlagSet) {
	fl.IntVar(&f.parallel, "parallel", defaultParallel, "`number` of connections asked at a time, by this process")
	fl.Int64Var(&f.logMB, "log-max-mb", defaultLogMB, "bound of a run's row log on disk, in `MB`")
	fl.DurationVar(&f.lease, "lease", defaultLease, "`time` without a sign of life until others take this process for gone; a resume waits so long for one of an owner that may be alive")
	fl.IntVar(&f.memoryMB, "memory-mb", 0, "resident memory in `MB` above which queries pause (also MEMORY_THRESHOLD_MB; default 1024)")
	fl.DurationVar(&f.timeout, "destination-timeout", defaultTimeout, "`time` that a destination that cannot be written is tried before the run goes on without it")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress; warnings, errors and the result only")
}

// settings reads the environment, with the .env file beside a job in place of what it lacks, and lets flags win. path
// may be "".
func (f *flags) settings(c *cobra.Command, path string) (settings, error) {
	var dotenv map[string]string
	var err error
	if _, stored := config.StoredJob(path); path != "" && !stored {
		if dotenv, err = config.DotEnv(path); err != nil {
			return settings{}, &exitError{exitBadJob, err}
		}
	}
	env, err := config.Environment(dotenv)
	if err != nil {
		return settings{}, &exitError{exitBadJob, err}
	}
	env.Data = cmp.Or(f.data, env.Data)
	env.LogFormat, env.LogLevel = cmp.Or(f.logFormat, env.LogFormat), cmp.Or(f.logLevel, env.LogLevel)
	s := settings{env: env, nats: f.nats, parallel: defaultParallel, logMB: defaultLogMB, timeout: defaultTimeout, lease: defaultLease, workDir: ".",
		json: f.json, verbose: f.verbose, quiet: f.quiet, strict: f.strict}
	s.envDir = cmp.Or(f.envDir, env.Data, ".")
	if f.data != "" {
		s.store += " --data " + shellQuote(f.data)
	}
	s.store += f.nats.line()
	if err := s.readPlaces(f.places); err != nil {
		return s, badLine(c, err)
	}
	// A flag that the command line does not have, or the command, leaves what there is.
	fl := c.Flags()
	for name, take := range map[string]func(){
		"parallel":            func() { s.parallel = f.parallel },
		"log-max-mb":          func() { s.logMB = f.logMB },
		"lease":               func() { s.lease = f.lease },
		"destination-timeout": func() { s.timeout = f.timeout },
		"memory-mb":           func() { s.env.MemoryThresholdMB = f.memoryMB },
		"query-timeout":       func() { s.env.QueryTimeoutMS = int(f.queryTimeout.Milliseconds()) },
	} {
		if fl.Changed(name) {
			take()
		}
	}
	for _, b := range []struct {
		flag string
		bad  bool
		is   string
	}{
		{"log-format", env.LogFormat != "text" && env.LogFormat != "json", "text or json"},
		{"log-level", new(slog.Level).UnmarshalText([]byte(env.LogLevel)) != nil, "debug, info, warn or error"},
		{"parallel", s.parallel < 1, "at least 1"},
		{"log-max-mb", s.logMB < minLogMB, fmt.Sprintf("at least %d", minLogMB)},
		{"lease", s.lease < minPatience, "at least " + minPatience.String()},
		{"destination-timeout", s.timeout < minPatience, "at least " + minPatience.String()},
		{"memory-mb", s.env.MemoryThresholdMB < minMemoryMB, fmt.Sprintf("at least %d", minMemoryMB)},
		{"query-timeout", f.queryTimeout != 0 && f.queryTimeout < minQueryTimeout, "at least " + minQueryTimeout.String() + ", or 0 for no limit"},
	} {
		if b.bad {
			return s, badLine(c, fmt.Errorf("--%s is %s, not %s", b.flag, b.is, fl.Lookup(b.flag).Value))
		}
	}
	return s, nil
}

// level is the least that goes to the screen.
func (s *settings) level() slog.Level {
	if s.quiet {
		return max(s.env.Level(), slog.LevelWarn)
	}
	return s.env.Level()
}

// log is the logger of a command that follows no run.
func (s *settings) log(w io.Writer) *slog.Logger {
	return slog.New(s.handler(w, s.level(), screen.Colors(w)))
}
