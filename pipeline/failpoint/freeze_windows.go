package failpoint

// freeze does nothing: Windows has no SIGSTOP.
func freeze() {}
