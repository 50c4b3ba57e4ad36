//go:build unix

package testdb

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// serverUser is whom a server runs as if this process is root, which PostgreSQL and MariaDB refuse: an account that the system's
// packages make for one of them, or else nobody. ok is false for an ordinary user, who runs the server himself.
func serverUser() (uid, gid int, ok bool, err error) {
	if os.Geteuid() != 0 {
		return 0, 0, false, nil
	}
	for _, name := range []string{"postgres", "_postgres", "mysql", "_mysql", "nobody"} {
		u, lookup := user.Lookup(name)
		if lookup != nil {
			err = lookup
			continue
		}
		if uid, err = strconv.Atoi(u.Uid); err != nil {
			continue
		}
		if gid, err = strconv.Atoi(u.Gid); err != nil {
			continue
		}
		return uid, gid, true, nil
	}
	return 0, 0, false, fmt.Errorf("find a user to run the server as: %w", err)
}

// dropPrivileges makes cmd run as serverUser.
func dropPrivileges(cmd *exec.Cmd) error {
	uid, gid, ok, err := serverUser()
	if ok {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return err
}

// giveAway makes serverUser the owner of a file.
func giveAway(path string) error {
	uid, gid, ok, err := serverUser()
	if ok {
		err = os.Chown(path, uid, gid)
	}
	return err
}
