package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"fanmill/pipeline"
)

// serviceHelp is for the help of fanmill serve.
const serviceHelp = `As a Windows service, from a shell that runs as administrator:

  sc.exe create fanmill start= delayed-auto binPath= "D:\fanmill\fanmill.exe serve --jobs D:\fanmill\jobs --data D:\fanmill\data"
  sc.exe failure fanmill reset= 86400 actions= restart/60000/restart/60000/restart/600000
  sc.exe failureflag fanmill 1
  sc.exe start fanmill

Services start in C:\Windows\System32. fanmill goes to the folder of fanmill.exe instead: relative paths begin there, runs log to its
logs folder, and what would be on the screen is in logs\fanmill.service, a file for each day, of which the last 30 are kept. The service's
account must be allowed to write there, and to reach the databases and the folders of the artifacts: drive letters of network shares exist
for logged-on users only, so write \\server\share. Without --data its state is in that account's own application data; name a folder to
use fanmill status and fanmill trigger from elsewhere. Stopping the service is the first Ctrl-C, and so is the shutdown of Windows. A service
that ends by itself shows fanmill's exit code as its own (sc.exe query fanmill).`

// logOfService is the folder, below that of fanmill.exe, of what a service says. A run's logs are in a folder with the token of its job, which has no dot.
func logOfService(home, service string) string {
	return filepath.Join(home, "logs", pipeline.Token(service)+".service")
}

// dailyLog writes to a file for each day, named by it. An own file for each day needs no renaming, which Windows refuses for open ones.
type dailyLog struct {
	dir string

	mu   sync.Mutex
	file *os.File
}

// openDailyLog makes the folder and opens the day's file.
func openDailyLog(dir string) (*dailyLog, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l := &dailyLog{dir: dir}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l, l.turn()
}

// turn goes on in the day's file. Where that cannot be opened, the one before serves on.
func (l *dailyLog) turn() error {
	path := filepath.Join(l.dir, time.Now().Format(time.DateOnly)+".log")
	if l.file != nil && l.file.Name() == path {
		return nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	// What Go's runtime says when the process crashes would go to a standard error that a service does not have.
	err = debug.SetCrashOutput(file, debug.CrashOptions{})
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	l.file = file
	pruneLogs(l.dir)
	return err
}

func (l *dailyLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.turn()
	return l.file.Write(p)
}

// Close closes the file; nothing is written after it.
func (l *dailyLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(debug.SetCrashOutput(nil, debug.CrashOptions{}), l.file.Close())
}
