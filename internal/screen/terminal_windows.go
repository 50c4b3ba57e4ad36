package screen

import (
	"os"

	"golang.org/x/sys/windows"
)

// Size implements Terminal. It is the window's, not the scroll buffer's.
func (t fileTerminal) Size() (columns, rows int, err error) {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(t.Fd()), &info); err != nil {
		return 0, 0, err
	}
	w := info.Window
	return int(w.Right) - int(w.Left) + 1, int(w.Bottom) - int(w.Top) + 1, nil
}

// understandsANSI turns the console's ANSI sequences on; consoles before Windows 10 1511 have none.
func understandsANSI(f *os.File) bool {
	var mode uint32
	h := windows.Handle(f.Fd())
	if err := windows.GetConsoleMode(h, &mode); err != nil {
		return false
	}
	return windows.SetConsoleMode(h, mode|windows.ENABLE_PROCESSED_OUTPUT|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// braille reports whether fonts of terminals have the characters of a spinner: those of the old console have not.
func braille() bool { return os.Getenv("WT_SESSION") != "" }
