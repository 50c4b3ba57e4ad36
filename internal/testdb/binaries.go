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
	dirs = append(dirs, newestFirst(
		"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
		"/usr/pgsql-*/bin",          // the PostgreSQL project's RPMs
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		filepath.Join(os.Getenv("ProgramFiles"), "PostgreSQL", "*", "bin"),
	)...)
	if dir := folderOf(dirs, "initdb", "pg_ctl", "postgres"); dir != "" {
		return dir, nil
	}
	return "", errNoPostgres
}

// newestFirst are the folders that match the patterns, for each pattern the highest version first.
func newestFirst(patterns ...string) []string {
	var dirs []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// folderOf is the first folder that holds all of these programs; "" if there is none.
func folderOf(dirs []string, names ...string) string {
	for _, d := range dirs {
		if !slices.ContainsFunc(names, func(name string) bool { return !isProgram(d, name) }) {
			return d
		}
	}
	return ""
}

// errNoMariaDB says how to get a server.
var errNoMariaDB = errors.New("no MariaDB server programs found: install them (Debian, Ubuntu: apt install mariadb-server; macOS: brew install mariadb; " +
	"Windows: winget install MariaDB.Server), put mariadbd and mariadb-install-db on the PATH, or set " + EnvMySQL + " to the DSN of a server")

// mariadbBin finds mariadbd and mariadb-install-db, which may be in different folders.
func mariadbBin() (server, install string, err error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	dirs = append(dirs, "/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin", "/usr/local/mysql/scripts")
	dirs = append(dirs, newestFirst(
		"/opt/homebrew/opt/mariadb*/bin",
		"/usr/local/opt/mariadb*/bin",
		filepath.Join(os.Getenv("ProgramFiles"), "MariaDB *", "bin"),
	)...)
	server, install = folderOf(dirs, "mariadbd"), folderOf(dirs, "mariadb-install-db")
	if server == "" || install == "" {
		return "", "", errNoMariaDB
	}
	return server, install, nil
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
