package coordinate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fanmill/checkpoint"
	"fanmill/pipeline"
	"fanmill/pipeline/failpoint"
)

// A process that is stopped while another coordinator lives stops none of its runs. It gives back what it has in hand
// of them, and then says in the run's record that it has let go: the run goes on all the while, others keep what they
// have, and the next coordinator adopts it without waiting. Until that is written the run is one whose coordinator
// dies. So a kill before it costs a lease, and a kill after it nothing. A process that sleeps here finds another epoch.

// errHandedOver ends a run in this process alone.
var errHandedOver = errors.New("another coordinator goes on with the run")

// successor reports whether another process would adopt the run, as far as is known: one that lives, coordinates and is
// not being stopped. Should it be gone in truth, the run waits for who serves next.
func (s *supervisor) successor() bool {
	if s.c.Own || s.c.Peers == nil || s.run.fixed.Trigger == 0 || s.run.fixed.Inline {
		return false
	}
	return slices.ContainsFunc(s.c.Peers.Live(), func(p checkpoint.ProcessRecord) bool {
		return p.Owner.Token != s.c.Owner.Token && !p.Draining && slices.Contains(p.Roles, pipeline.RoleCoordinator)
	})
}

// handOver lets go of the run, and returns why. Nothing of it is in hand here any more.
func (s *supervisor) handOver(ctx context.Context, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	failpoint.Hit("before-handover")
	err := s.run.doc.Change(ctx, s.mine, (*checkpoint.RunRecord).HandOver)
	failpoint.Hit("after-handover")
	switch {
	case errors.Is(err, pipeline.ErrFenced), errors.Is(err, pipeline.ErrForeign):
		return s.lost()
	case err != nil: // others find this process's lease ended, or lapsed
		s.c.Log.Debug("that the run is handed over was not recorded", "run", s.m.Run, "error", err)
		return errors.Join(why, ErrUnrecorded)
	}
	s.c.Log.Info(fmt.Sprintf("run %s: %v", s.m.Run, why))
	return why
}
