package outfile

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// attributes are what the kernel knows of a file beyond its mode; 0 where it does not say.
func attributes(path string) uint64 {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		return 0
	}
	return st.Attributes & st.Attributes_mask
}

// mounted reports whether a path is where something is mounted.
func mounted(path string) bool { return attributes(path)&unix.STATX_ATTR_MOUNT_ROOT != 0 }

// pinned is the attribute that keeps a file where it is, as chattr has it; "" if there is none.
func pinned(path string) string {
	switch a := attributes(path); {
	case a&unix.STATX_ATTR_IMMUTABLE != 0:
		return "immutable"
	case a&unix.STATX_ATTR_APPEND != 0:
		return "append only"
	}
	return ""
}

// overridesOwner reports whether this process may do to files what only their owners may (CAP_FOWNER).
func overridesOwner() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_FOWNER) != 0
}

// maxName is how long a name may be in the folder, in bytes.
func maxName(dir string) int {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Namelen <= 0 || bits.Len64(uint64(st.Namelen)) > 16 {
		return MaxName
	}
	return int(st.Namelen)
}
