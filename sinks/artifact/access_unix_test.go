//go:build unix

package artifact_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"fanmill/sinks/artifact"
)

const (
	someGroup = 12345 // which nobody is a member of; only root can give files to it
	nobody    = 65534
)

// acl makes an access list of tag, rights and id each.
func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

const none = 0xffffffff

// aclNobody lets the user nobody read, others nothing.
var aclNobody = acl([3]uint32{1, 6, none}, [3]uint32{2, 4, nobody}, [3]uint32{4, 0, none}, [3]uint32{16, 4, none}, [3]uint32{32, 0, none})

// seen is who may do what with a file, as the system tells it.
type seen struct {
	mode fs.FileMode
	gid  int
	acl  string
}

func lookAt(t testing.TB, path string) seen {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n, err := unix.Getxattr(path, "system.posix_acl_access", buf)
	if err != nil {
		n = 0
	}
	return seen{info.Mode().Perm(), int(info.Sys().(*syscall.Stat_t).Gid), string(buf[:n])}
}

// narrow checks that nothing in the private folder is wider than the artifact.
func (w *world) narrow(step string, who seen) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.dir, ".fanmill", filepath.Base(w.path)), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		is, may := lookAt(w.t, path), who.mode|0o600
		if d.IsDir() {
			may |= 0o700 | who.mode>>2&0o111
		}
		if is.mode&^may != 0 {
			w.t.Errorf("at %q %s has mode %o, the artifact %o", step, path, is.mode, who.mode)
		}
		if is.gid != who.gid && is.mode&0o070 != 0 {
			w.t.Errorf("at %q %s has mode %o and group %d, the artifact's is %d", step, path, is.mode, is.gid, who.gid)
		}
		if who.acl == "" && is.acl != "" {
			w.t.Errorf("at %q %s has an access list, the artifact none", step, path)
		}
		return nil
	})
	if err != nil {
		w.t.Errorf("at %q: %v", step, err)
	}
}

// Mode, group and access list of the file that is replaced go over to the new one and to a new report, in every mode,
// with and without hard links; what is private is at no step wider.
func TestAccessFollowsTheFile(t *testing.T) {
	gid := os.Getgid()
	if os.Geteuid() == 0 {
		gid = someGroup
	}
	for _, c := range []struct {
		mode                      fs.FileMode
		list                      []byte
		appends, noLinks, compact bool
	}{
		{mode: 0o640}, {mode: 0o640, appends: true}, {mode: 0o640, noLinks: true}, {mode: 0o640, compact: true}, {mode: 0o600}, {mode: 0o664}, {mode: 0o604},
		{mode: 0o440}, {mode: 0o440, appends: true}, {mode: 0o444, compact: true}, {mode: 0o440, noLinks: true}, {mode: 0o755},
		{mode: 0o640, list: aclNobody}, {mode: 0o640, list: aclNobody, appends: true, compact: true}, {mode: 0o640, list: aclNobody, noLinks: true},
	} {
		w := newWorld(t)
		w.appends, w.noLinks, w.compact = c.appends, c.noLinks, c.compact
		if err := os.WriteFile(w.path, []byte("last month's\r\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.appends {
			w.base = "last month's\r\n"
		}
		if err := errors.Join(os.Chown(w.path, -1, gid), os.Chmod(w.path, c.mode)); err != nil {
			t.Fatal(err)
		}
		if c.list != nil {
			if err := unix.Setxattr(w.path, "system.posix_acl_access", c.list, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
				t.Fatal(err)
			}
		}
		want := lookAt(t, w.path)
		a := w.open()
		if err := w.run(a, w.claim(), func(step string) {
			w.narrow(step, want)
			if got := lookAt(t, w.path); got != want {
				t.Errorf("%+v: at %q the artifact has %+v, want %+v", c, step, got, want)
			}
		}); err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		w.wantFile(w.path, w.whole())
		if got := lookAt(t, w.path+".manifest.json"); got != want {
			t.Errorf("%+v: the report has %+v, want %+v", c, got, want)
		}
		if !c.appends {
			if got := lookAt(t, filepath.Join(w.dir, "sales (not from fanmill).csv")); got.mode&^0o600 != want.mode&^0o600 || got.gid != want.gid || got.acl != want.acl && want.mode&0o600 == 0o600 {
				t.Errorf("%+v: the earlier file has %+v, want %+v", c, got, want)
			}
		}
		if _, err := a.Clean(false); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever changes who may read the file, or the report, while a run goes on is followed by the next publication.
func TestAccessIsFollowedWithinTheRun(t *testing.T) {
	w := newWorld(t)
	a, _ := claimed(t, w)
	if err := os.Chmod(w.path, 0o620); err != nil {
		t.Fatal(err)
	}
	commit(t, a, "two\r\n")
	commit(t, a, "three\r\n")
	if got := lookAt(t, w.path); got.mode != 0o620 {
		t.Errorf("the artifact has mode %o", got.mode)
	}
	if err := os.Remove(w.path); err != nil { // what it had stays
		t.Fatal(err)
	}
	commit(t, a, "four\r\n")
	if got := lookAt(t, w.path); got.mode != 0o620 {
		t.Errorf("published again, the artifact has mode %o", got.mode)
	}
}

// A new artifact is readable for those for whom a file is that any program makes in its folder: by umask, setgid bit
// and the folder's list for new files. The private folder may be an old one, which knows nothing of that.
func TestAccessOfANewFile(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"plain": func(string) error { return nil },
		"setgid": func(dir string) error {
			if os.Geteuid() == 0 {
				if err := os.Chown(dir, -1, someGroup); err != nil {
					return err
				}
			}
			return os.Chmod(dir, 0o775|fs.ModeSetgid)
		},
		"list": func(dir string) error { return setDefault(dir, aclNobody) },
		"list without names": func(dir string) error {
			return setDefault(dir, acl([3]uint32{1, 7, none}, [3]uint32{4, 5, none}, [3]uint32{32, 0, none}))
		},
		"list for all": func(dir string) error {
			return setDefault(dir, acl([3]uint32{1, 7, none}, [3]uint32{2, 7, nobody}, [3]uint32{4, 7, none}, [3]uint32{16, 7, none}, [3]uint32{32, 5, none}))
		},
	} {
		for _, old := range []bool{false, true} {
			w := newWorld(t)
			if old {
				base := filepath.Join(w.dir, ".fanmill", "sales.csv")
				if err := errors.Join(os.MkdirAll(base, 0o755), os.Mkdir(filepath.Join(base, "left"), 0o700)); err != nil {
					t.Fatal(err)
				}
			}
			if err := prepare(w.dir); err != nil {
				t.Fatal(err)
			}
			plain := filepath.Join(w.dir, "plain")
			f, err := os.OpenFile(plain, os.O_CREATE|os.O_WRONLY, 0o666)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			want := lookAt(t, plain)
			if err := w.run(w.open(), w.claim(), func(step string) { w.narrow(step, want) }); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{w.path, w.path + ".manifest.json"} {
				if got := lookAt(t, path); got != want {
					t.Errorf("%s, old %t: %s has %+v, want %+v", name, old, filepath.Base(path), got, want)
				}
			}
		}
	}
}

func setDefault(dir string, list []byte) error {
	if err := unix.Setxattr(dir, "system.posix_acl_default", list, 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// asOther runs a test again in a process of its own: as the user nobody where this one is root, and with a umask.
func asOther(t *testing.T, umask, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `umask "$0"; exec "$@"`, umask, self, "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "FANMILL_TEST_FOLDER="+dir, "TMPDIR="+dir)
	if os.Geteuid() == 0 {
		copied := filepath.Join(t.TempDir(), "test")
		text, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(copied, text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
		for p := filepath.Dir(copied); p != filepath.Dir(p) && strings.HasPrefix(p, os.TempDir()+"/"); p = filepath.Dir(p) {
			_ = os.Chmod(p, 0o755)
		}
		for p := dir; strings.HasPrefix(p, os.TempDir()+"/"); p = filepath.Dir(p) {
			_ = os.Chmod(p, 0o755)
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		cmd.Args[4] = copied
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("umask %s: %v\n%s", umask, err, out)
	}
	return string(out)
}

// The umask is the process's: 027 and 077 are kept to in everything that is new.
func TestAccessByUmask(t *testing.T) {
	if os.Getenv("FANMILL_TEST_FOLDER") == "" {
		for _, umask := range []string{"027", "077", "002", "000"} {
			asOther(t, umask, t.TempDir())
		}
		return
	}
	w := newWorld(t)
	plain := filepath.Join(w.dir, "plain")
	f, err := os.OpenFile(plain, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	want := lookAt(t, plain)
	if err := w.run(w.open(), w.claim(), func(step string) { w.narrow(step, want) }); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{w.path, w.path + ".manifest.json"} {
		if got := lookAt(t, path); got != want {
			t.Errorf("%s has %+v, want %+v", filepath.Base(path), got, want)
		}
	}
}

// A group that this user cannot give to the new file leaves its rights to no other group, and that is said once.
func TestAccessWithoutTheGroup(t *testing.T) {
	if dir := os.Getenv("FANMILL_TEST_FOLDER"); dir != "" {
		for mode, want := range map[fs.FileMode]fs.FileMode{0o640: 0o600, 0o660: 0o600, 0o644: 0o644, 0o664: 0o644, 0o604: 0o600} {
			w := newWorld(t)
			w.path = filepath.Join(dir, fmt.Sprintf("%o.csv", mode))
			w.dir = dir
			var said bytes.Buffer
			a := artifact.New(artifact.Spec{Path: w.path, StoreID: "store", Job: "job", Destination: "csv", Run: "run", Log: slog.New(slog.NewTextHandler(&said, nil))})
			if err := w.run(a, w.claim(), func(string) {}); err != nil {
				t.Fatal(err)
			}
			if got := lookAt(t, w.path); got.mode != want || got.gid != nobody {
				t.Errorf("%o: the artifact has %+v, want %o of %d", mode, got, want, nobody)
			}
			if n := strings.Count(said.String(), "group 12345, which this user is no member of"); n != 1 {
				t.Errorf("%o: it is said %d times:\n%s", mode, n, said.String())
			}
		}
		return
	}
	if os.Geteuid() != 0 {
		return // only root can make a file of a group that its user is no member of
	}
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0o640, 0o660, 0o644, 0o664, 0o604} {
		path := filepath.Join(dir, fmt.Sprintf("%o.csv", mode))
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, nobody, someGroup), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	asOther(t, "022", dir)
}
