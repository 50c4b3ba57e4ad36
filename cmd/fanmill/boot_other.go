//go:build !linux

package main

// bootID is "": the name of the host has to tell. Windows keeps its locks on a shared disk at the server, which drops
// those of a machine that is gone.
func bootID() string { return "" }
