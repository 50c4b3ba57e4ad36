package main

import (
	"errors"

	"golang.org/x/sys/windows"
)

// brokenPipe reports whether a pipe's reader has gone.
func brokenPipe(err error) bool {
	return errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, windows.ERROR_BROKEN_PIPE)
}
