//go:build unix && !linux

package artifact

import (
	"io/fs"
	"os"
)

// Other systems keep their lists in ways of their own, which are not carried over.
const aclAccess, aclDefault = "", ""

func aclOf(string, string) []byte                               { return nil }
func setACL(*os.File, []byte) error                             { return nil }
func aclMapped(acl []byte, _ func(uint16) uint16) []byte        { return acl }
func aclOwner(acl []byte, _ uint16) []byte                      { return acl }
func aclNarrowed(acl []byte) []byte                             { return acl }
func aclForNew(acl []byte, m fs.FileMode) ([]byte, fs.FileMode) { return acl, m }
func aclMode([]byte) fs.FileMode                                { return 0 }
