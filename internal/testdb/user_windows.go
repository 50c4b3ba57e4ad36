package testdb

import "os/exec"

// dropPrivileges does nothing: on Windows initdb and pg_ctl give up an administrator's rights themselves, and MariaDB does not mind.
func dropPrivileges(*exec.Cmd) error { return nil }

func giveAway(string) error { return nil }
