//go:build unix

package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow keeps a name in a private folder from leading elsewhere: where a group may write to the folder, somebody
// of it could put a link there.
const noFollow = unix.O_NOFOLLOW

// umask is this process's, as it was started. The system tells it by setting it only: at once, before there is
// anything else to be made.
var umask = func() fs.FileMode {
	m := unix.Umask(0o077)
	unix.Umask(m)
	return fs.FileMode(m) & fs.ModePerm
}()

// access is who may do what with a file.
type access struct {
	mode     fs.FileMode // permissions only
	uid, gid int         // -1 is as the system gives it
	acl      []byte      // the access list as the system keeps it; nil where the mode says all
}

// accessOf is the access of the file at path, which is that of info.
func accessOf(path string, info os.FileInfo) access {
	who := access{mode: info.Mode().Perm(), uid: -1, gid: -1, acl: aclOf(path, aclAccess)}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		who.uid, who.gid = int(st.Uid), int(st.Gid)
	}
	return who
}

// newAccess is what a new file in a folder gets.
func newAccess(dir string) access {
	who := access{mode: 0o666 &^ umask, uid: -1, gid: -1}
	if info, err := os.Stat(dir); err == nil && info.Mode()&fs.ModeSetgid != 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			who.gid = int(st.Gid)
		}
	}
	if acl := aclOf(dir, aclDefault); acl != nil {
		who.acl, who.mode = aclForNew(acl, 0o666)
	}
	return who
}

// whilePrivate lets the owner write, which is this process.
func (who access) whilePrivate() access {
	if who.sealed() {
		who.mode |= 0o600
		who.acl = aclOwner(who.acl, 6)
	}
	return who
}

// sealed reports whether not even the owner may read and write.
func (who access) sealed() bool { return who.mode&0o600 != 0o600 }

// ofFolder is that of a folder for such files: who may read one may look into it. Who may write to one may make files
// there where the umask, or a list of the folder above, lets others do so at all.
func (who access) ofFolder() access {
	var mode fs.FileMode
	for shift := 0; shift <= 6; shift += 3 {
		mode |= fs.FileMode(folderBits(uint16(who.mode>>shift&7))) << shift
	}
	if who.acl == nil {
		mode &^= umask
	}
	who.mode, who.acl = mode|0o700, aclOwner(aclMapped(who.acl, folderBits), 7)
	return who
}

// folderBits are a file's read, write and execute bits as a folder has them.
func folderBits(bits uint16) uint16 {
	if bits&4 == 0 {
		return 0
	}
	return bits | 1
}

// narrowed is the access of a file that could not get its group: the rights of that group go to no other one, and its
// members get none as others that they did not have.
func (who access) narrowed() access {
	both := who.mode & 7 & (who.mode >> 3)
	if who.acl != nil {
		who.acl = aclNarrowed(who.acl)
		return who
	}
	who.mode = who.mode&0o700 | both<<3 | both
	return who
}

// grant gives an open file or folder this access. lacks names a group that this user cannot give it.
func (who access) grant(f *os.File) (lacks string, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	now := accessOf("", info)
	if uid, gid := changed(who.uid, now.uid), changed(who.gid, now.gid); uid >= 0 || gid >= 0 {
		err = f.Chown(uid, gid)
		if err != nil && uid >= 0 && gid >= 0 {
			err = f.Chown(-1, gid) // only root gives files away
		}
		if err != nil && gid >= 0 {
			lacks, who = groupName(gid), who.narrowed()
		}
	}
	aclErr := setACL(f, who.acl)
	switch {
	case who.acl != nil && aclErr == nil: // which sets the mode, too
		return lacks, nil
	case who.acl != nil:
		who.mode = aclMode(who.acl) // nobody by name
	}
	if bits := info.Mode()&fs.ModeSetgid | who.mode; aclErr == nil || bits != info.Mode()&(fs.ModeSetgid|fs.ModePerm) {
		err = f.Chmod(bits)
	}
	return lacks, errors.Join(err, ignoreUnsupported(aclErr))
}

// changed is want where that is another one than now, else -1.
func changed(want, now int) int {
	if want == now {
		return -1
	}
	return want
}

// ignoreUnsupported drops the error of a file system without access lists.
func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func groupName(gid int) string {
	if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil {
		return "group " + g.Name
	}
	return fmt.Sprintf("group %d", gid)
}
