package artifact

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Access lists as Linux keeps them [acl(5); linux/posix_acl_xattr.h]: a version, and entries of a tag, rights and an
// id, in little endian.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"

	aclHeader = 4
	aclEntry  = 8

	aclUserObj  = 0x01 // the owner
	aclGroupObj = 0x04 // the file's group
	aclMask     = 0x10 // what all but the owner and others have at most
	aclOther    = 0x20
)

// aclOf reads a list; nil if there is none.
func aclOf(path, name string) []byte {
	if path == "" {
		return nil
	}
	buf := make([]byte, 1<<10)
	n, err := unix.Getxattr(path, name, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 1<<16) // the most there can be
		n, err = unix.Getxattr(path, name, buf)
	}
	if err != nil || n < aclHeader || (n-aclHeader)%aclEntry != 0 {
		return nil
	}
	return buf[:n]
}

// setACL gives an open file a list, or takes it away from one that has inherited it.
func setACL(f *os.File, acl []byte) error {
	if acl != nil {
		return unix.Fsetxattr(int(f.Fd()), aclAccess, acl, 0)
	}
	err := unix.Fremovexattr(int(f.Fd()), aclAccess)
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	return err
}

// aclMapped changes the rights of every entry.
func aclMapped(acl []byte, change func(bits uint16) uint16) []byte {
	return aclChanged(acl, func(_, bits uint16) uint16 { return change(bits) })
}

func aclChanged(acl []byte, change func(tag, bits uint16) uint16) []byte {
	if acl == nil {
		return nil
	}
	acl = slices.Clone(acl)
	for e := acl[aclHeader:]; len(e) >= aclEntry; e = e[aclEntry:] {
		binary.LittleEndian.PutUint16(e[2:], change(binary.LittleEndian.Uint16(e), binary.LittleEndian.Uint16(e[2:]))&7)
	}
	return acl
}

// aclRights are the rights of the entry with this tag; all where it is missing.
func aclRights(acl []byte, tag uint16) uint16 {
	for e := acl[aclHeader:]; len(e) >= aclEntry; e = e[aclEntry:] {
		if binary.LittleEndian.Uint16(e) == tag {
			return binary.LittleEndian.Uint16(e[2:])
		}
	}
	return 7
}

// aclOwner gives the owner more rights.
func aclOwner(acl []byte, more uint16) []byte {
	return aclChanged(acl, func(tag, bits uint16) uint16 {
		if tag == aclUserObj {
			return bits | more
		}
		return bits
	})
}

// aclNarrowed is access.narrowed for a list: whoever is named in it stays.
func aclNarrowed(acl []byte) []byte {
	both := aclRights(acl, aclGroupObj) & aclRights(acl, aclMask) & aclRights(acl, aclOther)
	return aclChanged(acl, func(tag, bits uint16) uint16 {
		if tag == aclGroupObj || tag == aclOther {
			return bits & both
		}
		return bits
	})
}

// aclForNew is what a folder's list for new files gives one that is made with mode; the list is nil where the mode
// says all.
func aclForNew(acl []byte, mode fs.FileMode) ([]byte, fs.FileMode) {
	masked := aclHas(acl, aclMask)
	acl = aclChanged(acl, func(tag, bits uint16) uint16 {
		switch {
		case tag == aclUserObj:
			return bits & uint16(mode>>6)
		case tag == aclMask, tag == aclGroupObj && !masked:
			return bits & uint16(mode>>3)
		case tag == aclOther:
			return bits & uint16(mode)
		}
		return bits
	})
	group := aclRights(acl, aclGroupObj)
	if masked {
		group = aclRights(acl, aclMask)
	}
	mode = fs.FileMode(aclRights(acl, aclUserObj)<<6 | group<<3 | aclRights(acl, aclOther))
	if !masked {
		return nil, mode
	}
	return acl, mode
}

func aclHas(acl []byte, tag uint16) bool {
	for e := acl[aclHeader:]; len(e) >= aclEntry; e = e[aclEntry:] {
		if binary.LittleEndian.Uint16(e) == tag {
			return true
		}
	}
	return false
}

// aclMode is the mode of a file that cannot have the list: nobody has more by it.
func aclMode(acl []byte) fs.FileMode {
	group := aclRights(acl, aclGroupObj) & aclRights(acl, aclMask)
	return fs.FileMode(aclRights(acl, aclUserObj)<<6 | group<<3 | aclRights(acl, aclOther))
}
