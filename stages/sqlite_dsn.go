package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"fanmill/pipeline"
)

// sqliteTarget is a DSN as it is given to SQLite.
type sqliteTarget struct {
	name string
	uri  bool
	path string        // of the file, for messages
	busy time.Duration // how long a database that another program has locked is waited for
}

// sqliteParseDSN reads a DSN and looks whether its file is there: SQLite's own message would not say which one is not.
func sqliteParseDSN(dsn string) (sqliteTarget, error) {
	if strings.TrimSpace(dsn) == "" {
		return sqliteTarget{}, pipeline.Permanent(errors.New("open sqlite database: the DSN is empty: is its environment variable set?"))
	}
	if strings.ContainsRune(dsn, 0) {
		return sqliteTarget{}, pipeline.Permanent(errors.New("open sqlite database: the DSN contains a zero byte"))
	}
	t := sqliteTarget{name: dsn, path: dsn, busy: sqliteBusyWait}
	if strings.HasPrefix(dsn, "file:") {
		var err error
		if t, err = sqliteURI(dsn); err != nil {
			return t, pipeline.Permanent(fmt.Errorf("open sqlite database: %w", err))
		}
	}
	// Only stat: opening and closing the file would drop the POSIX locks that this process may hold on it elsewhere.
	st, err := os.Stat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t, pipeline.Permanent(fmt.Errorf("open sqlite database %s: there is no such file", t.path))
	case errors.Is(err, fs.ErrPermission):
		return t, pipeline.Permanent(fmt.Errorf("open sqlite database %s: no permission to read it", t.path))
	case err != nil:
		return t, pipeline.Transient(fmt.Errorf("open sqlite database: %w", err))
	case st.IsDir():
		return t, pipeline.Permanent(fmt.Errorf("open sqlite database %s: this is a folder, not a database file", t.path))
	case st.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeCharDevice) != 0: // to open a pipe waits for a writer, and cannot be stopped
		return t, pipeline.Permanent(fmt.Errorf("open sqlite database %s: this is a pipe, a socket or a device, not a database file", t.path))
	case st.Mode().IsRegular() && st.Size() == 0 && !t.hasJournal():
		return t, pipeline.Permanent(fmt.Errorf("open sqlite database %s: the file is empty, 0 bytes: a copy that failed, or a file that a program made when it looked for the database here; "+
			"put the branch's database there, or correct the path", t.path))
	}
	return t, nil
}

// hasJournal reports whether the rows of a database whose own file is still empty may be in a journal beside it.
func (t *sqliteTarget) hasJournal() bool {
	for _, suffix := range []string{"-wal", "-journal"} {
		if st, err := os.Stat(t.path + suffix); err == nil && st.Size() > 0 {
			return true
		}
	}
	return false
}

// sqliteURI reads file:PATH?PARAMETERS. The mode is replaced: a more permissive one would be refused. busy_timeout,
// in milliseconds, is fanmill's own; other programs' libraries call it _busy_timeout.
func sqliteURI(dsn string) (sqliteTarget, error) {
	base, _, _ := strings.Cut(dsn, "#")
	base, query, _ := strings.Cut(base, "?")
	kept, busy := []string{"mode=ro"}, sqliteBusyWait
	for p := range strings.SplitSeq(query, "&") {
		switch key, value, _ := strings.Cut(p, "="); key {
		case "", "mode":
		case "busy_timeout", "_busy_timeout":
			ms, err := strconv.Atoi(value)
			if err != nil || ms < 0 {
				return sqliteTarget{}, fmt.Errorf("%s is a number of milliseconds, not %q", key, value)
			}
			busy = time.Duration(ms) * time.Millisecond
		default:
			kept = append(kept, p)
		}
	}
	path := strings.TrimPrefix(base, "file:")
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		_, path, _ = strings.Cut(rest, "/") // the authority is empty or localhost
		path = "/" + path
	}
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		path = path[1:] // file:///C:/branch.db
	}
	return sqliteTarget{name: base + "?" + strings.Join(kept, "&"), uri: true, path: path, busy: busy}, nil
}
