package schedule

import (
	"fmt"
	"time"
)

// Zone is the zone of an IANA name; "" is UTC. Local, which is another one on each host, is refused.
func Zone(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("the time zone Local is another one on each host; name one, such as Europe/Berlin")
	}
	return time.LoadLocation(name)
}
