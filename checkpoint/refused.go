package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// Refused is a worker that could not ask a connection, as its process lacks what the connection refers to. Others may
// have it: that is no try.
type Refused struct {
	Worker string   `json:"worker"` // token of its process
	Host   string   `json:"host,omitempty"`
	PID    int      `json:"pid,omitempty"`
	Names  []string `json:"names"` // what it lacks, as the job refers to it
	Error  string   `json:"error"` // the same in words, with what helps
}

// How many refusals a record keeps, the newest, and how many names of each.
const (
	maxRefused      = 32
	maxRefusedNames = 16
)

// Refuse notes that a worker cannot ask the connection, which stays pending for others.
func (r *ConnRecord) Refuse(o pipeline.Owner, names []string, why error) {
	others := slices.DeleteFunc(slices.Clone(r.Refused), func(f Refused) bool { return f.Worker == o.Token })
	names = slices.Clip(names[:min(len(names), maxRefusedNames)])
	r.Refused = append(others[max(0, len(others)-maxRefused+1):], Refused{o.Token, o.Host, o.PID, names, pipeline.ShortError(why)})
}

// RefusedBy reports whether all of these workers have refused the connection, and there are some.
func (r *ConnRecord) RefusedBy(workers []string) bool {
	return len(workers) > 0 && !slices.ContainsFunc(workers, func(worker string) bool {
		return !slices.ContainsFunc(r.Refused, func(f Refused) bool { return f.Worker == worker })
	})
}

// Forsake has the coordinator give the connection up, as no worker can ask it.
func (r *ConnRecord) Forsake() {
	r.State, r.Error = ConnGivenUp, pipeline.ShortError(errRefused(r.Refused))
}

// errRefused says what workers lack, and which.
func errRefused(all []Refused) error {
	if len(all) == 1 {
		return fmt.Errorf("%s", all[0].Error)
	}
	var each []string
	for _, f := range all {
		each = append(each, fmt.Sprintf("process %d on %s lacks %s", f.PID, f.Host, strings.Join(f.Names, ", ")))
	}
	return fmt.Errorf("no process can ask it: %s. Set the variables, or put the files, where one of them runs, start that anew, and resume the run", strings.Join(each, "; "))
}
