package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxRunID bounds the ids of runs, in bytes: they name streams and files.
const maxRunID = 100

// devices are the names that Windows takes for a device, whatever follows behind a dot; and COM and LPT with a digit.
var devices = []string{"CON", "PRN", "AUX", "NUL"}

// ErrBadID marks an id that a run cannot have: keys, streams and files have it in their names, or it is another job's.
var ErrBadID = errors.New("bad id of a run")

// CheckRunID reports why an id that somebody chose cannot be a run's.
func CheckRunID(id string) error {
	stem := strings.TrimRight(strings.ToUpper(id), "0123456789")
	digits := len(id) - len(stem)
	switch {
	case id == "":
		return badID("the id of a run cannot be empty")
	case id == jobKeys, slices.Contains(devices, stem) && digits == 0, (stem == "COM" || stem == "LPT") && digits == 1:
		return badID("the id of a run cannot be %q; choose another", id)
	case Token(id) != id:
		return badID("the id of a run has letters, digits, _ and - only; choose another than %q", id)
	case len(id) > maxRunID:
		return badID("the id of a run is too long: %d characters, at most %d", len(id), maxRunID)
	}
	return nil
}

func badID(format string, args ...any) error {
	return Permanent(&kindError{ErrBadID, fmt.Errorf(format, args...)})
}

// untoldFor is how long after a run's end a process that was killed in that moment is likely to be started again by
// what watches it. What comes later is a schedule's next turn, and a run of its own.
const untoldFor = 10 * time.Minute

// answered looks whether a trigger of fanmill run has been carried out before: it names a run that is complete, or it
// asks for a resume and the process of the job's last run was killed between recording that as complete and telling
// whoever had started it. Then it returns how that run ended. own is the run that the trigger names, if there is one.
func (n *Node) answered(ctx context.Context, job string, t Trigger) (own *Cell[RunRecord], _ *Outcome, _ error) {
	if t.ID == "" && !t.Resume {
		return nil, nil, nil
	}
	last, _, err := n.lastRun(ctx, job)
	if err != nil {
		return nil, nil, err
	}
	if t.ID != "" {
		if own, err = n.runOfTrigger(ctx, job, t.ID, last); err != nil || own == nil {
			return nil, nil, err
		}
		out, err := n.over(ctx, own)
		return own, out, err
	}
	if last == nil || n.Untold == nil {
		return nil, nil, nil
	}
	if rec := last.Value(); rec.State != RunComplete || rec.Trigger != 0 || time.Since(rec.Ended) > untoldFor || !n.Untold(rec.Owner) {
		return nil, nil, nil
	}
	out, err := n.over(ctx, last)
	return nil, out, err
}

// over is how a run ended that a trigger names; nil if there is something left to do for it.
func (n *Node) over(ctx context.Context, own *Cell[RunRecord]) (*Outcome, error) {
	switch rec := own.Value(); {
	case rec.State.Resumable():
		return nil, nil
	case rec.State != RunComplete:
		return nil, badID("run %s was given up, and a later run has taken its place; choose another id", runOf(own))
	}
	info, err := n.Inspect(ctx, runOf(own))
	if err != nil {
		return nil, err
	}
	n.Log.Info(fmt.Sprintf("run %s of job %s is complete already, since %s; nothing is left to do", info.Run, info.Record.Job,
		info.Record.Ended.Local().Format(time.DateTime)))
	return &Outcome{Run: info.Run, State: info.Record.State, Started: info.Record.Started, Reports: info.Reports, Measures: info.Record.Measures,
		Owner: info.Record.Owner, Already: true}, nil
}
