package checkpoint

import (
	"fmt"

	"fanmill/pipeline"
)

// Opened says what a commit record, or a connection's record, was opened for. Who begins or resumes the run writes it,
// in the compare-and-set that opens the record. A worker reads it in the very document that it then claims by
// compare-and-set, and nowhere else: two documents may come from two replicas, or from two moments. Records of earlier
// versions have none.
type Opened struct {
	Epoch       uint64 `json:"epoch"`       // RunRecord.Epoch
	Incarnation int    `json:"incarnation"` // RunRecord.Resumes, of the resume that opened the record; 0 for the beginning
	Generation  int    `json:"generation"`  // of the row log; 0 where it is not known yet
}

// Admits reports ErrFenced to a command that was published under an earlier incarnation: the run has gone on since, and
// the record is for others.
func (o Opened) Admits(incarnation int) error {
	if incarnation < o.Incarnation {
		return fmt.Errorf("the command is of resume %d of the run, and its record of resume %d: %w", incarnation, o.Incarnation, pipeline.ErrFenced)
	}
	return nil
}

// Spec is the incarnation whose specification holds for a record that a command of this incarnation names: a record of
// an earlier version does not say.
func (o Opened) Spec(command int) int {
	if o == (Opened{}) {
		return command
	}
	return o.Incarnation
}

// By reports whether a record is for a coordinator to write: it has opened the record, or one before it has that it
// has adopted the run from, or nobody did that is known.
func (o Opened) By(c Opened) bool {
	return o == Opened{} || o.Incarnation == c.Incarnation && o.Generation == c.Generation && o.Epoch <= c.Epoch
}

// After reports whether a later coordinator has the record: who sees that has lost the run.
func (o Opened) After(c Opened) bool { return o.Epoch > c.Epoch }

// Opened is what the records of the run are opened for as it is.
func (r *RunRecord) Opened() Opened { return Opened{r.Epoch, r.Resumes, r.Generation} }

// Opens is what a resume opens them for.
func (r *RunRecord) Opens() Opened { return Opened{r.Epoch, r.Resumes + 1, r.Generation} }

// goesOn reports whether the run is still as a record was opened for.
func (r *RunRecord) goesOn(o Opened) bool {
	return r.State == pipeline.RunRunning && r.Resumes == o.Incarnation && (o.Generation == 0 || r.Generation == o.Generation)
}
