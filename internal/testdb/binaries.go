package testdb

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// errNoPostgres says how to get a server.
var errNoPostgres = errors.New("no PostgreSQL server programs found: install them (Debian, Ubuntu: apt install postgresql; macOS: brew install postgresql; " +
	"Windows: winget install PostgreSQL.PostgreSQL), put initdb and pg_ctl on the PATH, or set " + EnvPostgres + " to the DSN of a server")

// postgresBin finds the folder that holds initdb and pg_ctl, the newest version if there are several.
func postgresBin() (string, error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // the PostgreSQL project's RPMs
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", "*", "bin"),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		dirs = append(dirs, found...)
	}
	for _, d := range dirs {
		if isProgram(d, "initdb") && isProgram(d, "pg_ctl") && isProgram(d, "postgres") {
			return d, nil
		}
	}
	return "", errNoPostgres
}

// version is the first number in a path such as /usr/lib/postgresql/15/bin; 0 if there is none.
func version(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0])
	return n
}

func isProgram(dir, name string) bool {
	if dir == "" {
		return false
	}
	st, err := os.Stat(filepath.Join(dir, program(name)))
	return err == nil && st.Mode().IsRegular()
}

func program(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}
