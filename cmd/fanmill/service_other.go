//go:build !windows

package main

import "os"

// start runs the program: systemd and launchd start and stop a service as a shell does a command.
func start() int { return Main(os.Args[1:], os.Stdout, os.Stderr) }
