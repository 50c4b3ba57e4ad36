package checkpoint

import (
	"time"

	"fanmill/pipeline"
)

// NewReport describes an artifact; errors are by connection id.
func NewReport(m *pipeline.Manifest, d *pipeline.ManifestDestination, rec CommitRecord, errors map[string]string) *pipeline.Report {
	r := &pipeline.Report{Run: m.Run, JobID: m.JobID, JobName: m.JobName, Destination: d.ID, Artifact: d.Where(), State: rec.State, Error: rec.Error, Delivery: rec.Delivery, Query: d.Query, Files: d.Files,
		Updated: time.Now().UTC(), Connections: make([]pipeline.ReportConnection, len(m.Connections))}
	for i, c := range m.Connections {
		line := pipeline.ReportConnection{ID: c.ID, Name: c.Name, State: pipeline.ReportPending}
		if s, ok := rec.Settled[i]; ok {
			line.State, line.Rows, line.Attempts, line.Millis = pipeline.ReportSettled, s.Rows, s.Attempts, s.Millis
			line.Losses, line.Notes, line.Controls = s.Losses, s.Notes, s.Controls
		} else if s, ok := rec.Sealed[i]; ok {
			line.State, line.Rows, line.Attempts, line.Millis = pipeline.ReportSealed, s.Rows, s.Attempts, s.Millis
			line.Losses, line.Notes, line.Controls = s.Losses, s.Notes, s.Controls
			if line.Refused = s.Refused; s.Refused {
				line.Error = errors[c.ID]
			}
		} else if f, ok := rec.Failed[i]; ok {
			line.State, line.Attempts, line.Millis, line.Error = pipeline.ReportFailed, f.Attempts, f.Millis, errors[c.ID]
			if f.Rejected {
				line.State = pipeline.ReportRejected
			}
		}
		r.Connections[i] = line
	}
	return r
}
