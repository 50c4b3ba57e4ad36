package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"

	"fanmill/pipeline/durable"
)

// keepReport writes the report of a destination that is no file: a file has its own beside it. It is written after each
// change of what is delivered, and once the destination has ended. One that cannot be written costs a log line: the
// record has all of it.
func (v *delivery) keepReport() {
	kind := v.d.Sinks[v.dest.Type]
	if v.d.Reports == "" || v.claim == nil || kind == nil || kind.Traits.Target == TargetFile {
		return
	}
	text, err := json.MarshalIndent(v.report(), "", "  ")
	path := ReportPath(v.d.Reports, v.m.JobID, v.dest.ID)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = durable.WriteFile(path, append(text, '\n'), 0o600)
	}
	if err != nil {
		v.log.Warn("the report was not written; the run is not affected", "error", err)
	}
}

// ReportPath is where the report of a destination is that is no file.
func ReportPath(folder, job, destination string) string {
	return filepath.Join(folder, Token(job), Token(destination)+".json")
}
