package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/oslock"
)

// defaultLease is how long a run and its destinations stay with an owner that gives no sign of life. It is only
// waited out where nobody can prove that the owner is gone.
const defaultLease = 15 * time.Second

// owner is this process as others see it: a lock file in the data folder that is locked as long as it lives.
type owner struct {
	pipeline.Owner
	dir  string
	lock *os.File
}

func newOwner(dataDir string, lease time.Duration) (*owner, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the host's name: %w", err)
	}
	o := &owner{dir: ownersDir(dataDir)}
	o.Owner = pipeline.Owner{Token: pipeline.NewToken(), Host: host, PID: os.Getpid(), LeaseMS: lease.Milliseconds()}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w; --data or FANMILL_DATA names another one", err)
	}
	if o.lock, err = os.OpenFile(o.file(o.Token), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, fmt.Errorf("mark this process as alive: %w", err)
	}
	if taken, err := oslock.Try(o.lock); err != nil || !taken {
		_ = o.lock.Close()
		return nil, fmt.Errorf("mark this process as alive: lock %s: %w", o.lock.Name(), err)
	}
	return o, nil
}

// owns looks whether a process is alive, from one that owns nothing.
func (s *settings) owns(other pipeline.Owner) (alive, known bool) {
	return (&owner{dir: ownersDir(s.env.Data)}).alive(other)
}

func ownersDir(dataDir string) string { return filepath.Join(dataDir, "owners") }

func (o *owner) file(token string) string { return filepath.Join(o.dir, token+".lock") }

// alive looks whether the owner's lock file is locked. Of an owner on another host, or with another data folder,
// nothing is known.
func (o *owner) alive(other pipeline.Owner) (alive, known bool) {
	if other.Token == o.Token {
		return true, true
	}
	f, err := os.OpenFile(o.file(other.Token), os.O_RDWR, 0)
	if err != nil {
		return false, false
	}
	defer f.Close()
	taken, err := oslock.Try(f)
	return !taken, err == nil
}

// told notes that it was told how the run of an owner ended: what is left of this process is to exit. A process that
// is killed before that has no such note, and whatever started it, starting it again, is told then.
func (o *owner) told(of pipeline.Owner) {
	f, err := os.OpenFile(o.file(of.Token), os.O_WRONLY, 0)
	if err != nil {
		return // it is another machine's
	}
	_, _ = f.WriteString("told\n") // without it the next one tells once more
	_ = f.Close()
}

// untold reports whether a process is gone and has not told how its run ended.
func (o *owner) untold(other pipeline.Owner) bool {
	if alive, known := o.alive(other); alive || !known {
		return false
	}
	note, err := os.ReadFile(o.file(other.Token))
	return err == nil && len(note) == 0
}

// close marks the process as gone and removes the marks of those that are gone for a day.
func (o *owner) close() {
	_ = o.lock.Close()
	files, _ := filepath.Glob(filepath.Join(o.dir, "*.lock"))
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil || time.Since(info.ModTime()) < 24*time.Hour {
			continue
		}
		token := filepath.Base(name[:len(name)-len(".lock")])
		if alive, known := o.alive(pipeline.Owner{Token: token}); known && !alive {
			_ = os.Remove(name)
		}
	}
}
