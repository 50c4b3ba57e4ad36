package main

import (
	"os"
	"strings"
)

// bootID names the start of this machine's kernel [random(4)]. Containers of one machine have the same.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
