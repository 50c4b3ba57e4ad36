package artifact

import "golang.org/x/sys/windows"

const errHeldOpen = windows.ERROR_SHARING_VIOLATION
