//go:build !windows

package main

import (
	"errors"
	"syscall"
)

// brokenPipe reports whether a pipe's reader has gone.
func brokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }
