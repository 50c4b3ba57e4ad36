package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"runtime"
	"strings"

	"fanmill/pipeline"
)

// sqliteTarget is a DSN as it is given to SQLite.
type sqliteTarget struct {
	name string
	uri  bool
	path string // of the file, for messages
}

// sqliteParseDSN reads a DSN and looks whether its file is there: SQLite's own message would not say which one is not.
func sqliteParseDSN(dsn string) (sqliteTarget, error) {
	if strings.TrimSpace(dsn) == "" {
		return sqliteTarget{}, pipeline.Permanent(errors.New("open sqlite database: the DSN is empty: is its environment variable set?"))
	}
	if strings.ContainsRune(dsn, 0) {
		return sqliteTarget{}, pipeline.Permanent(errors.New("open sqlite database: the DSN contains a zero byte"))
	}
	t := sqliteTarget{name: dsn, path: dsn}
	if strings.HasPrefix(dsn, "file:") {
		t = sqliteURI(dsn)
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
	}
	return t, nil
}

// sqliteURI reads file:PATH?PARAMETERS. The mode is replaced: a more permissive one would be refused.
func sqliteURI(dsn string) sqliteTarget {
	base, _, _ := strings.Cut(dsn, "#")
	base, query, _ := strings.Cut(base, "?")
	kept := []string{"mode=ro"}
	for p := range strings.SplitSeq(query, "&") {
		if p != "" && !strings.HasPrefix(p, "mode=") {
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
	return sqliteTarget{name: base + "?" + strings.Join(kept, "&"), uri: true, path: path}
}
