package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fanmill/pipeline"
)

// ownerOn marks a process of a machine as alive, in a folder that all machines see.
func ownerOn(t *testing.T, dir, host, boot string, shared bool) *owner {
	t.Helper()
	o, err := newOwner(locks{dir: dir, on: machine{host, boot}, shared: shared}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.lock.Close() })
	return o
}

// A lock on a disk that several machines share may look free on another one while its owner lives, and locked after
// that one has crashed. It proves something on its own machine, since that was started. Of others nothing is known.
func TestLockProvesNothingOfAnotherMachine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "owners")
	here := ownerOn(t, dir, "here", "boot-2", true)
	for _, c := range []struct {
		name       string
		host, boot string
		known      bool
	}{
		{"same machine", "here", "boot-2", true},
		{"another host", "there", "boot-2", false},
		{"another host whose name begins alike", "her", "e boot-2", false},
		{"before the last start", "here", "boot-1", false},
		{"a start that is not known", "here", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := ownerOn(t, dir, c.host, c.boot, true)
			if alive, known := here.alive(other.Owner); alive != c.known || known != c.known {
				t.Errorf("while it lives: alive %v, known %v", alive, known)
			}
			_ = other.lock.Close() // as by a kill; or as a lock that this machine does not see
			if alive, known := here.alive(other.Owner); alive || known != c.known {
				t.Errorf("once it is gone: alive %v, known %v", alive, known)
			}
			if here.untold(other.Owner) != c.known {
				t.Errorf("its run's end is told of: %v", c.known)
			}
			here.told(other.Owner)
			if here.untold(other.Owner) {
				t.Error("it is told twice")
			}
		})
	}
}

// An embedded store is reached from its own machine alone: a folder that was moved to another one, or whose machine was
// started again, has the locks of processes that are gone.
func TestLockOfAnEmbeddedStoreProves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "owners")
	here := ownerOn(t, dir, "new", "boot-2", false)
	old := ownerOn(t, dir, "old", "boot-1", false)
	if alive, known := here.alive(old.Owner); !alive || !known {
		t.Errorf("while it lives: alive %v, known %v", alive, known)
	}
	_ = old.lock.Close()
	if alive, known := here.alive(old.Owner); alive || !known {
		t.Errorf("once it is gone: alive %v, known %v", alive, known)
	}
}

// The marks of other machines' processes are not cleared away while their runs may go on.
func TestMarksOfOtherMachinesStay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "owners")
	aged := map[string]bool{} // whether it stays
	for _, c := range []struct {
		host  string
		age   time.Duration
		stays bool
	}{{"here", time.Hour, true}, {"here", 25 * time.Hour, false}, {"there", 29 * 24 * time.Hour, true}, {"there", 31 * 24 * time.Hour, false}} {
		o := ownerOn(t, dir, c.host, "boot", true)
		_ = o.lock.Close()
		then := time.Now().Add(-c.age)
		if err := os.Chtimes(o.file(o.Token), then, then); err != nil {
			t.Fatal(err)
		}
		aged[o.Token] = c.stays
	}
	ownerOn(t, dir, "here", "boot", true).close()
	for token, stays := range aged {
		if _, err := os.Stat(filepath.Join(dir, token+".lock")); (err == nil) != stays {
			t.Errorf("mark of %s: %v, stays %v", token, err, stays)
		}
	}
	if _, known := (locks{dir: dir}).alive(pipeline.Owner{Token: "never-was"}); known {
		t.Error("something is known of a process that left no mark")
	}
}

// Processes of one machine with one data folder have one home, also those that start at once. Another machine that sees
// the folder has its own. A store that no other machine has needs none.
func TestHome(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "owners")
	var started sync.WaitGroup
	var owners [8]*owner
	for i := range owners {
		started.Go(func() {
			o, err := newOwner(locks{dir: dir, on: machine{"here", "boot-1"}, shared: true}, time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			_ = o.lock.Close()
			owners[i] = o
		})
	}
	started.Wait()
	if t.Failed() {
		return
	}
	for _, o := range owners {
		if o.Home != owners[0].Home || !strings.HasPrefix(o.Home, "here ") {
			t.Errorf("homes of one machine are %q and %q", o.Home, owners[0].Home)
		}
	}
	if later := ownerOn(t, dir, "here", "boot-2", true); later.Home != owners[0].Home {
		t.Errorf("after its next start it is %q, was %q", later.Home, owners[0].Home)
	}
	if there := ownerOn(t, dir, "there", "boot-1", true); there.Home == owners[0].Home {
		t.Errorf("another machine has the home %q, too", there.Home)
	}
	if other := ownerOn(t, filepath.Join(t.TempDir(), "owners"), "here", "boot-1", true); other.Home == owners[0].Home {
		t.Errorf("with another data folder it is %q, too", other.Home)
	}
	if alone := ownerOn(t, filepath.Join(t.TempDir(), "owners"), "here", "boot-1", false); alone.Home != "" {
		t.Errorf("with an embedded store it is %q", alone.Home)
	}
}
