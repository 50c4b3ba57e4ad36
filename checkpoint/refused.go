package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"fanmill/pipeline"
)

// Refused is a worker that could not ask a connection, as its process lacks what the connection refers to, or as the
// database does not let it in. Others may have it, or come from a host that is let in: that is no try.
type Refused struct {
	Worker string   `json:"worker"` // token of its process
	Host   string   `json:"host,omitempty"`
	PID    int      `json:"pid,omitempty"`
	Names  []string `json:"names"`           // what it lacks, as the job refers to it
	Login  bool     `json:"login,omitempty"` // it was not let in
	Error  string   `json:"error"`           // the same in words, with what helps
}

// How many refusals a record keeps, the newest, and how many names of each.
const (
	maxRefused      = 32
	maxRefusedNames = 16
)

// maxLogins is how many processes try a login. A password that is wrong for two is wrong, and databases lock users that
// come with wrong ones again and again.
const maxLogins = 2

// Refuse notes that a worker cannot ask the connection, which stays pending for others.
func (r *ConnRecord) Refuse(o pipeline.Owner, names []string, why error) {
	names = slices.Clip(names[:min(len(names), maxRefusedNames)])
	r.refuse(Refused{Worker: o.Token, Host: o.Host, PID: o.PID, Names: names, Error: pipeline.ShortError(why)})
}

// Deny gives the connection back that the database did not let its worker to, for another one to try. That is no try.
func (r *ConnRecord) Deny(o pipeline.Owner, why error) {
	r.Judge(false, 0)
	r.refuse(Refused{Worker: o.Token, Host: o.Host, PID: o.PID, Login: true, Error: pipeline.ShortError(why)})
}

// DenyAgain has a worker that was not let in leave the connection to others once more. It reports whether it was not.
func (r *ConnRecord) DenyAgain(worker string) bool {
	i := slices.IndexFunc(r.Refused, func(f Refused) bool { return f.Worker == worker && f.Login })
	if i >= 0 {
		r.refuse(r.Refused[i])
	}
	return i >= 0
}

// Denied reports whether as many workers as try a login were not let in.
func (r *ConnRecord) Denied() bool { return len(r.logins()) >= maxLogins }

func (r *ConnRecord) logins() []Refused {
	return slices.DeleteFunc(slices.Clone(r.Refused), func(f Refused) bool { return !f.Login })
}

// refuse adds what a worker says, in place of what it said before.
func (r *ConnRecord) refuse(says Refused) {
	others := slices.DeleteFunc(slices.Clone(r.Refused), func(f Refused) bool { return f.Worker == says.Worker })
	r.Refused = append(others[max(0, len(others)-maxRefused+1):], says)
}

// RefusedBy reports whether all of these workers have refused the connection, and there are some.
func (r *ConnRecord) RefusedBy(workers []string) bool {
	return len(workers) > 0 && !slices.ContainsFunc(workers, func(worker string) bool {
		return !slices.ContainsFunc(r.Refused, func(f Refused) bool { return f.Worker == worker })
	})
}

// Forsake has the coordinator give the connection up, as no worker can ask it.
func (r *ConnRecord) Forsake() {
	r.Attempts = max(r.Attempts, len(r.logins()))
	r.State, r.Error = ConnGivenUp, pipeline.ShortError(errRefused(r.Refused))
}

// errRefused says what workers lack, and which.
func errRefused(all []Refused) error {
	if len(all) == 1 {
		return fmt.Errorf("%s", all[0].Error)
	}
	var each []string
	for i := range all {
		each = append(each, all[i].String())
	}
	return fmt.Errorf("no process can ask it: %s. Set the variables, put the files, or correct the login, where one of them runs, start that anew, and resume the run", strings.Join(each, "; "))
}

// String says who cannot ask the connection, and why.
func (f *Refused) String() string {
	who := fmt.Sprintf("process %d on %s", f.PID, f.Host)
	if f.Login {
		return who + ": " + f.Error
	}
	return who + " lacks " + strings.Join(f.Names, ", ")
}
