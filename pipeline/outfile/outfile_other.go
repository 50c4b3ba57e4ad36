//go:build unix && !linux

package outfile

// Other systems mount no files, and what else pins one is told by the error of the rename.
func mounted(string) bool  { return false }
func pinned(string) string { return "" }
func overridesOwner() bool { return false }
func maxName(string) int   { return MaxName }
