package stages

import (
	"context"
	"os"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// A database in WAL mode has two files beside it while anybody has it open. Who closes it last removes them; one who may only read leaves
// them [SQLite, "Write-Ahead Logging", 5]. As another user's they would keep the database's own program from writing, for good.

// walFiles are they.
func (t *sqliteTarget) walFiles() [2]string { return [2]string{t.path + "-wal", t.path + "-shm"} }

// tidyWAL removes the files that reading has left, in the way of SQLite: by opening the database once more, for writing, and closing it. Since
// nothing is in the log, nothing is written to the database. Where somebody has it open, or it may not be written to, all stays as it is.
func (t sqliteTarget) tidyWAL() {
	if st, err := os.Stat(t.walFiles()[0]); err != nil || st.Size() > 0 || strings.Contains(t.name, "immutable=1") {
		return
	}
	t.busy = 0
	if t.uri {
		t.name = strings.Replace(t.name, "mode=ro", "mode=rw", 1)
	}
	c, err := sqliteOpen(t, sqlite3.SQLITE_OPEN_READWRITE)
	if err != nil {
		return
	}
	if !c.readOnly() { // otherwise it could not remove them either
		_ = c.exec(context.Background(), "select count(*) from sqlite_schema") // only who has read has the log open
	}
	_ = c.close()
}
