package stages

import (
	"errors"
	"slices"
	"strings"

	"fanmill/pipeline"
)

func init() {
	register(pipeline.DatabaseKind{
		Name: "sqlite", Label: "SQLite", Driver: sqlite{}, File: true,
		Example:    pipeline.Address{Database: "D:/Branches/001.db"},
		CheckQuery: sqliteCheckQuery, Control: sqliteControl, Passwords: passwordsIn,
		Inline: &pipeline.InlineBounds{CheckFile: sqliteCheckFile, CheckQuery: sqliteReadsOnly},
	})
}

func sqliteCheckQuery(sql string) error {
	if sqliteDialect.several(sql) {
		return errSeveral
	}
	return nil
}

// sqliteCheckFile refuses the spellings by which SQLite opens something else than the file of this name.
func sqliteCheckFile(path string) error {
	if strings.HasPrefix(path, "file:") || strings.ContainsAny(path, "\x00") || path == ":memory:" {
		return errors.New("a job that is brought along names its SQLite file by its path alone")
	}
	return nil
}

// sqliteReadsOnly lets SQLite do nothing but read its own file: it could attach others, and copy into them.
func sqliteReadsOnly(sql string) error {
	if slices.Contains([]string{"select", "with", "values"}, firstWord(sql)) {
		return nil
	}
	return errors.New("its query begins with neither select, with nor values, which a job that is brought along needs for SQLite")
}

// firstWord is what a statement begins with, in lower case, after blanks and comments; "" if that is no word.
func firstWord(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f\ufeff")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql[2:], "*/")
		default:
			end := strings.IndexFunc(sql, func(r rune) bool { return (r|0x20) < 'a' || (r|0x20) > 'z' })
			if end < 0 {
				end = len(sql)
			}
			return strings.ToLower(sql[:end])
		}
	}
}
