package pipeline

import "strings"

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

// HostOf is the host of a home.
func HostOf(home string) string {
	host, _, _ := strings.Cut(home, " ")
	return host
}

// NamedPlace is the token of a folder that processes offer by name.
func NamedPlace(name string) string { return "place-" + Token(name) }

// PlaceText is what waits for a place waits for, in words for people; "" is any process.
func PlaceText(token string) string {
	if name, ok := strings.CutPrefix(token, "place-"); ok {
		return "a process with --place " + Untoken(name) + "=FOLDER"
	}
	if home, ok := strings.CutPrefix(token, "home-"); ok {
		return HostOf(Untoken(home))
	}
	return ""
}
