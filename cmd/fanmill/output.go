package main

import (
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"fanmill/internal/screen"
)

// How long the end of a command waits for a reader who reads nothing. What was delivered is recorded by then, and
// whoever waits for the exit code is not to wait for a reader. Tests wait less.
var (
	resultPatience = time.Minute     // of the result of a command that delivers; that of others waits for ever, as for a pager
	linesPatience  = 5 * time.Second // of log lines
)

// delivers reports whether a command's exit code tells of a delivery, or of one that is asked for.
func delivers(c *cobra.Command) bool { return c.GroupID == groupRun }

// judges reports whether a command's exit code tells of something else than what it prints.
func judges(c *cobra.Command) bool {
	return delivers(c) || slices.Contains([]string{"status", "check", "validate", "verify"}, c.Name())
}

// unread says that a result could not be written, where that can be said, and returns the exit code. A delivery is as
// good as it is, read or not: only a command that does nothing but print has failed. Whoever closes a pipe, such as
// head, has read enough.
func unread(c *cobra.Command, failed error, code int, say io.Writer) int {
	enough := failed == nil || brokenPipe(failed)
	if failed == nil || enough && !delivers(c) {
		return code
	}
	text := "fanmill: the result was not written to standard output to its end: " + failed.Error() + "\n"
	if delivers(c) {
		text += "what was delivered, fanmill status tells\n"
	}
	_ = screen.Message(say, text)
	if code == exitComplete && !judges(c) {
		return exitFailed
	}
	return code
}
