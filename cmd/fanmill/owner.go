package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fanmill/pipeline"
	"fanmill/pipeline/durable"
	"fanmill/pipeline/oslock"
)

// defaultLease is how long a run and its destinations stay with an owner that gives no sign of life. It is only
// waited out where nobody can prove that the owner is gone.
const defaultLease = 15 * time.Second

// keepLocks is how long the marks of processes stay of which nobody here can tell whether they are gone. Without its
// mark a process that lives is one of which nothing is known.
const keepLocks = 30 * 24 * time.Hour

// machine is where the operating system's lock on a file means something: one kernel, from its start to its end. What
// another one has locked on a shared disk may look free, and what it had locked before it crashed may look locked.
type machine struct {
	host string
	boot string // changes with every start; "" where the system does not tell
}

func thisMachine() (machine, error) {
	host, err := os.Hostname()
	if err != nil {
		return machine{}, fmt.Errorf("find the host's name: %w", err)
	}
	return machine{host, bootID()}, nil
}

// line is what the lock files of this machine begin with.
func (m machine) line() string { return strings.Join([]string{m.host, m.boot}, " ") + "\n" }

// owner is this process as others see it: a lock file in the data folder that is locked as long as it lives.
type owner struct {
	pipeline.Owner
	locks
	lock *os.File
}

// locks are the lock files of a data folder, as processes of one machine see them.
type locks struct {
	dir string
	on  machine
	// shared says that processes of other machines may have the same store, and this folder with it. An embedded store
	// listens on 127.0.0.1 alone: who shares that is here, or gone.
	shared bool
}

// locks are those of the data folder.
func (s *settings) locks() (locks, error) {
	on, err := thisMachine()
	return locks{dir: filepath.Join(s.env.Data, "owners"), on: on, shared: s.external()}, err
}

// gone reports whether an owner's process is known to be gone, to a process that owns nothing.
func (s *settings) gone(other pipeline.Owner) bool {
	l, err := s.locks()
	if err != nil {
		return false
	}
	alive, known := l.alive(other)
	return known && !alive
}

// newOwner marks this process as alive.
func newOwner(l locks, lease time.Duration) (*owner, error) {
	o := &owner{locks: l, Owner: pipeline.Owner{Token: pipeline.NewToken(), Host: l.on.host, PID: os.Getpid(), LeaseMS: lease.Milliseconds()}}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w; --data or FANMILL_DATA names another one", err)
	}
	var err error
	if o.Home, err = l.home(); err != nil {
		return nil, err
	}
	if o.lock, err = os.OpenFile(o.file(o.Token), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, fmt.Errorf("mark this process as alive: %w", err)
	}
	taken, err := oslock.Try(o.lock)
	if err == nil && !taken {
		err = fmt.Errorf("lock %s: another process has it", o.lock.Name())
	}
	if err == nil { // after the lock: who reads whose it is finds it locked
		_, err = o.lock.WriteString(l.on.line())
	}
	if err != nil {
		return nil, fmt.Errorf("mark this process as alive: %w", errors.Join(err, o.lock.Close()))
	}
	return o, nil
}

// home names what a process of this machine with this data folder has: the disks that its files are on. A host's
// name is not enough, two may have one; nor is the folder, which two hosts may see. "" is for a store that no other
// host has.
func (l locks) home() (string, error) {
	if !l.shared {
		return "", nil
	}
	path := filepath.Join(l.dir, "home")
	id, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		own := path + "." + pipeline.NewToken()
		if err = durable.WriteFile(own, []byte(pipeline.NewToken()), 0o600); err == nil {
			defer os.Remove(own)
			if err := os.Link(own, path); err != nil && !errors.Is(err, os.ErrExist) { // a file system without second names
				_ = os.Rename(own, path) // whether it is there, the next line tells
			}
			id, err = os.ReadFile(path) // of several processes that start at once one has made it
		}
	}
	if err != nil || len(id) == 0 {
		return "", fmt.Errorf("read %s, which names this data folder: %w", path, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return l.on.host + " " + string(id), nil
}

// alive looks whether an owner's process is alive; it is known of this process itself.
func (o *owner) alive(other pipeline.Owner) (alive, known bool) {
	if other.Token == o.Token {
		return true, true
	}
	return o.locks.alive(other)
}

func (l locks) file(token string) string { return filepath.Join(l.dir, token+".lock") }

// alive looks whether an owner's lock file is locked. That proves something of an owner on this machine, since its last
// start. Of any other, and of one with another data folder, nothing is known: its lease counts.
func (l locks) alive(other pipeline.Owner) (alive, known bool) {
	f, err := os.OpenFile(l.file(other.Token), os.O_RDWR, 0)
	if err != nil {
		return false, false
	}
	defer f.Close()
	if l.shared {
		text := make([]byte, len(l.on.line()))
		if n, _ := f.ReadAt(text, 0); string(text[:n]) != l.on.line() {
			return false, false
		}
	}
	taken, err := oslock.Try(f)
	return !taken, err == nil
}

// toldLine is what the lock file of a process gets when somebody was told how its run ended.
const toldLine = "told\n"

// told notes that it was told how the run of an owner ended: what is left of this process is to exit. A process that
// is killed before that has no such note, and whatever started it, starting it again, is told then.
func (l locks) told(of pipeline.Owner) {
	f, err := os.OpenFile(l.file(of.Token), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return // it is another machine's
	}
	_, _ = f.WriteString(toldLine) // without it the next one tells once more
	_ = f.Close()
}

// untold reports whether a process is gone and has not told how its run ended.
func (o *owner) untold(other pipeline.Owner) bool {
	if alive, known := o.alive(other); alive || !known {
		return false
	}
	note, err := os.ReadFile(o.file(other.Token))
	return err == nil && !strings.Contains(string(note), toldLine)
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
		alive, known := o.locks.alive(pipeline.Owner{Token: token})
		if known && !alive || !known && time.Since(info.ModTime()) > keepLocks {
			_ = os.Remove(name)
		}
	}
}
