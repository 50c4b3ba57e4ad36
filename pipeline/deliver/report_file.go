package deliver

import (
	"encoding/json"
	"os"
	"path/filepath"

	"fanmill/pipeline/durable"

	"fanmill/pipeline"
)

// keepReport writes the report of a destination that is no file: a file has its own beside it. It is written after each
// change of what is delivered, and once the destination has ended. One that cannot be written costs a log line: the
// record has all of it. Of a destination in partitions there is one, which is written where it is closed.
func (v *delivery) keepReport() {
	kind := v.d.Sinks[v.dest.Type]
	if v.d.Reports == "" || v.claim == nil || kind == nil || kind.Traits.Target == pipeline.TargetFile || v.dest.Shared() {
		return
	}
	text, err := json.MarshalIndent(v.report(), "", "  ")
	path := pipeline.ReportPath(v.d.Reports, v.m.JobID, v.dest.Whole())
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
