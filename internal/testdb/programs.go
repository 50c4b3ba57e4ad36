package testdb

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// What the kinds of servers have in common: programs to run, files to give them, ports.

// dataFolder is where a server keeps its data below its own folder.
func dataFolder(dir string) string { return filepath.Join(dir, "data") }

// runProgram runs one of a server's programs to its end, as the server's user. Output goes to a file: a server that it starts
// inherits it and would hold a pipe open.
func runProgram(bin, dir, name string, env []string, args ...string) error {
	out, err := os.CreateTemp(dir, name+"-*.out")
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(filepath.Join(bin, program(name)), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), env...)
	if err := dropPrivileges(cmd); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return nil
}

// writeFile makes a file that the server's user can read.
func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return giveAway(path)
}

func randomHex() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
