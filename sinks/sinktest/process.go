package sinktest

import (
	"errors"
	"sync/atomic"
)

// errCrashed ends a claim whose process has ended.
var errCrashed = errors.New("the process has ended")

// process is one that may end. From then on its loop comes no further than the next step, it writes no record, and none
// of its requests arrives; the sink may still be called to close its files.
type process struct {
	w    *world
	dead atomic.Bool
}

// newProcess has the world's requests be those of a process. answer says what becomes of them while it lives.
func (w *world) newProcess(answer func() Answer) *process {
	p := &process{w: w}
	if w.target.Answer != nil {
		w.target.Answer(func() Answer {
			if p.dead.Load() {
				return Drop
			}
			return answer()
		})
	}
	w.step = p.step
	return p
}

func (p *process) step(string) error {
	if p.dead.Load() {
		return errCrashed
	}
	return nil
}

// over makes room for the next process: everything is taken again.
func (p *process) over() {
	p.w.step = nil
	if p.w.target.Answer != nil {
		p.w.target.Answer(taken)
	}
}

func taken() Answer { return Take }
