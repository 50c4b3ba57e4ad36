package artifact

import (
	"errors"
	"os"
	"strings"
	"time"

	"fanmill/pipeline"
)

// reportEvery bounds how often the report is written while connections settle by the hundred.
const reportEvery = time.Second

// reporter remembers what of the report is owed.
type reporter struct {
	owed *pipeline.Report // written by the next report or by Close
	last time.Time
}

// reportName is where the report stands, beside the artifact.
func (a *Artifact) reportName() string { return ReportName(a.path, a.spec.Dataset) }

// ReportName is where the report on an artifact stands; see Spec.Dataset.
func ReportName(path string, dataset bool) string { return besideOf(path, reportSuffix, dataset) }

const reportSuffix = ".manifest.json"

// Reported is the file that a report of this name is on, but for the point that a dataset's begins with.
func Reported(report string) string { return strings.TrimSuffix(report, reportSuffix) }

// IsReport reports whether a file of this name is the report on an artifact.
func IsReport(name string) bool { return strings.HasSuffix(name, reportSuffix) }

// report writes r as <artifact>.manifest.json, atomically, with the length and checksum of what is committed. At most
// one a second is written, except the first and the final one; the newest is owed until then. Its connections must
// not change after this.
func (a *Artifact) report(r *pipeline.Report, p Print) error {
	if r == nil {
		return nil
	}
	out := *r
	out.Length, out.SHA256 = p.Length, p.SHA256
	if out.Artifact == "" {
		out.Artifact = a.path
	}
	a.reports.owed = &out
	if r.State == pipeline.RecordOpen && !a.reports.last.IsZero() && a.clock().Sub(a.reports.last) < reportEvery {
		return nil
	}
	return a.writeOwed()
}

// writeOwed writes the newest report. One that a program holds open stays owed.
func (a *Artifact) writeOwed() error {
	if a.reports.owed == nil {
		return nil
	}
	text, err := pipeline.SealReport(a.reports.owed)
	if err != nil {
		return pipeline.Permanent(err)
	}
	tmp, who := a.in("report"), a.reportAccess()
	if err := a.create(tmp, who, func(f *os.File) error { _, err := f.Write(text); return err }); err != nil {
		return a.trouble("write report", tmp, err)
	}
	if who.sealed() {
		a.reopen(tmp, who)
	}
	a.step("report")
	a.reports.last = a.clock()
	if err := a.move(tmp, a.reportName()); errors.Is(err, errInUse) {
		a.log.Debug("the report is open in another program", "file", a.reportName())
		return nil
	} else if err != nil {
		return err
	}
	a.reports.owed = nil
	return nil
}
