//go:build !windows

package nats

import "golang.org/x/sys/unix"

// freeBytes is what a user may still store on the disk of a folder; ok is false where the system does not say.
func freeBytes(path string) (n int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
