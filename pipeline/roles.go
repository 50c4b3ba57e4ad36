package pipeline

// The roles of processes. Each may be had by any number of them.
const (
	RoleCoordinator = "coordinator" // takes triggers, begins runs and sees them to their ends
	RoleQuery       = "query"       // asks connections
	RoleSink        = "sink"        // writes destinations

	// A process of fanmill run, which does all of one run and nothing for others.
	RoleRun = "run"
)

// Roles are all that serving processes may have.
func Roles() []string { return []string{RoleCoordinator, RoleQuery, RoleSink} }
