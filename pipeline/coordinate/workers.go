package coordinate

import (
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
)

// askers are the processes that take query commands of this coordinator, as far as it knows: those that live, ask
// connections, and do not end.
func (n *Coordinator) askers() (all []checkpoint.ProcessRecord) {
	if n.Own || n.live == nil && n.Peers == nil {
		return []checkpoint.ProcessRecord{{Owner: n.Owner, Slots: n.Parallel}}
	}
	live := n.live
	if live == nil {
		live = n.Peers.Live
	}
	return slices.DeleteFunc(live(), func(p checkpoint.ProcessRecord) bool {
		return p.Draining || !slices.Contains(p.Roles, pipeline.RoleQuery)
	})
}

// window is how many query commands of a run are out at a time: twice the places of all who take them.
func (n *Coordinator) window() int {
	places := 0
	for _, p := range n.askers() {
		places += p.Slots
	}
	return max(2*places, 2)
}

// Workers are the tokens of the processes that take query commands of this coordinator, as far as it knows.
func (n *Coordinator) Workers() (tokens []string) {
	for _, p := range n.askers() {
		tokens = append(tokens, p.Owner.Token)
	}
	return tokens
}
