package nats

import "golang.org/x/sys/windows"

// freeBytes is what a user may still store on the disk of a folder; ok is false where the system does not say.
func freeBytes(path string) (n int64, ok bool) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, false
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, false
	}
	return int64(min(free, 1<<62)), true
}
