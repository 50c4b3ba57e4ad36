package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"fanmill/pipeline"
)

// In mode "replace" the file of an earlier run is kept until this one is complete, and then removed. A file that
// fanmill did not make, or that somebody has changed since, is not: it gets a name of its own, and that is the
// user's.
//
// What fanmill made is told by length and SHA-256, never by a name. The report beside the file has them. While a run
// goes on it may be a second older than the file, and a run that delivers nothing writes one in which the file of the
// run before is not; so the claim's neighbour "made" has what may stand at the public name, written before it does,
// until the report says so again:
//
//	Reports/.fanmill/sales.csv/made   lengths and checksums

// maxMade bounds what "made" remembers.
const maxMade = 16

func (a *Artifact) madeMark() string { return filepath.Join(a.base, "made") }

// made is what fanmill may have put at the public name, as the report and earlier runs have it.
func (a *Artifact) made() (prints []Print) {
	if text, err := os.ReadFile(a.madeMark()); err == nil {
		_ = json.Unmarshal(text, &prints)
	}
	if r := a.readReport(); r != nil && !slices.Contains(prints, Print{r.Length, r.SHA256}) {
		prints = append(prints, Print{r.Length, r.SHA256})
	}
	return prints[:min(len(prints), maxMade)]
}

// readReport is the report beside the artifact; nil if there is none, or it is not one of fanmill's.
func (a *Artifact) readReport() *pipeline.Report {
	var r pipeline.Report
	text, err := os.ReadFile(a.reportName())
	if err != nil || json.Unmarshal(text, &r) != nil || r.Run == "" || len(r.SHA256) != len(noBytes) {
		return nil
	}
	return &r
}

// noteMade remembers what the public name may show from now on: next, what it shows, and what it showed before the run.
func (a *Artifact) noteMade(next ...Print) {
	prints := slices.Clone(next)
	if a.shown != nil {
		prints = append(prints, a.shown.print)
	}
	prints = append(append(prints, a.state.Shown...), a.state.Made...)
	if len(prints) == 0 {
		return
	}
	text, err := json.Marshal(prints[:min(len(prints), maxMade)])
	if err == nil {
		if err = a.note(a.in("made"), text); err == nil {
			err = a.move(a.in("made"), a.madeMark())
		}
	}
	if err != nil { // the worst that follows is a file of ours that is kept
		a.log.Debug("what is about to be published was not noted", "file", a.path, "error", err)
	}
}

// forgetMade removes the note: of a complete run the report says the same. One that is given up may have been killed
// before it wrote its last report: length and checksum in it become those of the file.
func (a *Artifact) forgetMade(complete bool) error {
	if !complete {
		if err := a.correctReport(); err != nil {
			return err
		}
	}
	if err := os.Remove(a.madeMark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a.trouble("remove", a.madeMark(), err)
	}
	return nil
}

// correctReport makes the report vouch for the public file, if that is fanmill's and the report speaks of an earlier
// state, or is not there yet.
func (a *Artifact) correctReport() error {
	r := a.readReport()
	if r == nil && !exists(a.reportName()) { // killed before its first one
		r = &pipeline.Report{Run: a.spec.Run, JobID: a.spec.Job, Destination: a.spec.Destination, Artifact: a.path, State: pipeline.RecordOpen, Length: -1,
			Updated: a.clock().UTC(), Connections: []pipeline.ReportConnection{}}
	}
	info, err := stat(a.path)
	if r == nil || err != nil || info.Size() == r.Length {
		return nil
	}
	made := a.made()
	i := slices.IndexFunc(made, func(p Print) bool { return a.contentIs(info, p) })
	if i < 0 {
		return nil
	}
	r.Length, r.SHA256 = made[i].Length, made[i].SHA256
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return pipeline.Permanent(err)
	}
	tmp := filepath.Join(a.base, "report")
	if err := a.create(tmp, a.reportAccess(), func(f *os.File) error { _, err := f.Write(append(text, '\n')); return err }); err != nil {
		return a.trouble("write report", tmp, err)
	}
	if err := a.move(tmp, a.reportName()); err != nil && !errors.Is(err, errInUse) {
		return err
	}
	_ = os.Remove(tmp) // where a program holds the report
	return nil
}

// isMade reports whether what stands at the public name before the run's first publication is fanmill's own work,
// untouched. An empty file is nobody's: it holds the place, and perhaps rights.
func (a *Artifact) isMade(there os.FileInfo) bool {
	return !there.Mode().IsRegular() || there.Size() == 0 || a.stale(there) || slices.ContainsFunc(a.state.Made, func(p Print) bool { return a.contentIs(there, p) })
}

// notOurs is what the name says of a file that fanmill did not make.
const notOurs = "not from fanmill"

// keepForeign gives a file that fanmill did not make, or did not leave so, a name that stays.
func (a *Artifact) keepForeign() error {
	word, why := notOurs, "was not made by fanmill, as far as a report beside it says"
	if len(a.state.Made) > 0 {
		word, why = edited, "was changed by another program since fanmill made it"
	}
	name, isNew, err := a.keepAs(a.path, "kept", func(held string) (string, bool, error) { return a.nameAside(held, word) })
	if err != nil {
		return err
	}
	a.step("foreign")
	if isNew {
		a.log.Warn(fmt.Sprintf("%s %s; it is kept as %s, and this run writes a new one", a.path, why, filepath.Base(name)), "file", a.path, "kept", name)
	}
	return nil
}
