//go:build unix

package screen

import (
	"os"

	"golang.org/x/sys/unix"
)

// Size implements Terminal.
func (t fileTerminal) Size() (columns, rows int, err error) {
	size, err := unix.IoctlGetWinsize(int(t.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, err
	}
	return int(size.Col), int(size.Row), nil
}

func understandsANSI(*os.File) bool { return true }

// braille reports whether fonts of terminals have the characters of a spinner.
func braille() bool { return true }
