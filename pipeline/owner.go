package pipeline

// Owner is a process that works on a run.
type Owner struct {
	Token string `json:"token"`
	// Process is the token of the process, where Token is that of one of its claims.
	Process string `json:"-"`
	Host    string `json:"host"`
	// Home is the host and an id of the data folder: the disks that the process writes to. "" if no other host has the
	// store.
	Home    string `json:"home,omitempty"`
	PID     int    `json:"pid"`
	LeaseMS int64  `json:"leaseMs"`
}
