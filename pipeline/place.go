package pipeline

// Bytes on a disk belong to where they are. A place is what a process may have of that: the disks of its home, or a
// folder that it offers under a name. Processes of several hosts may offer one of a name.

// LocalPlace is the home of processes whose store no other host has.
const LocalPlace = "local"

// HomePlace is the token of Owner.Home as a place.
func HomePlace(home string) string {
	if home == "" {
		return LocalPlace
	}
	return "home-" + Token(home)
}

// NamedPlace is the token of a folder that processes offer by name.
func NamedPlace(name string) string { return "place-" + Token(name) }
