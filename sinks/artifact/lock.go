package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/oslock"
)

// holder is the content of the lock file: who works on the artifact.
type holder struct {
	StoreID     string `json:"storeId"`
	Job         string `json:"job"`
	Destination string `json:"destination"`
	Run         string `json:"run"`
	Host        string `json:"host"`
	PID         int    `json:"pid"`
}

// acquire takes the operating system's lock beside the artifact, which ends with its process. A holder that serves the
// same destination of the same store is fenced by the commit record, which the caller has claimed; it may be a process
// that is frozen and will never let go, so the claim goes on without the lock. Anyone else is refused: no commit record
// stands between two stores, nor between two destinations.
func (a *Artifact) acquire() error {
	if a.lock != nil {
		return nil
	}
	host, _ := os.Hostname()
	me := holder{a.spec.StoreID, a.spec.Job, a.spec.Destination, a.spec.Run, host, os.Getpid()}
	var other holder
	for range 50 { // the holder writes its name right after it took the lock: at most a second
		held, known, err := a.tryAcquire(me, &other)
		if err != nil {
			return a.trouble("lock", filepath.Join(a.base, "lock"), err)
		}
		if !held {
			return nil
		}
		if known {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	switch {
	case other.StoreID == "":
		return pipeline.Transient(fmt.Errorf("%s is locked by a process that does not say who it is; end it, or remove %s if it is none of fanmill's", a.path, a.base))
	case other.StoreID != me.StoreID:
		return pipeline.Permanent(fmt.Errorf("%s is being written by process %d on %s (run %s), which keeps its state in another data folder or NATS server (%s); wait for its end, or use the same --data or --nats",
			a.path, other.PID, other.Host, other.Run, other.StoreID))
	case other.Job != me.Job || other.Destination != me.Destination:
		return pipeline.Permanent(fmt.Errorf("%s is being written by destination %s of job %s (process %d on %s); give each destination a file path of its own",
			a.path, other.Destination, other.Job, other.PID, other.Host))
	}
	return nil
}

// tryAcquire reports whether the lock is held elsewhere and, if so, whether other could be read.
func (a *Artifact) tryAcquire(me holder, other *holder) (held, known bool, err error) {
	path := filepath.Join(a.base, "lock")
	f, err := a.open(path, os.O_RDWR|os.O_CREATE, a.access)
	if err != nil {
		return false, false, err
	}
	taken, err := oslock.Try(f)
	if err != nil || !taken {
		text, readErr := io.ReadAll(f)
		_ = f.Close()
		if err != nil || readErr != nil {
			return true, false, err
		}
		return true, json.Unmarshal(text, other) == nil && other.StoreID != "", nil
	}
	mine, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
			_ = f.Close() // it was cleaned away between opening and locking: this is nobody's lock
			return true, false, nil
		}
	}
	if err == nil {
		var text []byte
		if text, err = json.Marshal(me); err == nil {
			if err = f.Truncate(0); err == nil {
				_, err = f.WriteAt(append(text, '\n'), 0)
			}
		}
	}
	if err != nil {
		_ = f.Close()
		return false, false, err
	}
	a.lock = f
	return false, false, nil
}

// unlock lets go of the lock; the file stays.
func (a *Artifact) unlock() error {
	if a.lock == nil {
		return nil
	}
	err := a.lock.Close()
	a.lock = nil
	return err
}
