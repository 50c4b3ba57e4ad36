package artifact

import (
	"os"

	"golang.org/x/sys/windows"
)

const errHeldOpen = windows.ERROR_SHARING_VIOLATION

// NamesOf counts the names of a file; here it does not.
func NamesOf(os.FileInfo) int { return 1 }
