package checkpoint

import (
	"fmt"

	"fanmill/pipeline"
)

// Keys of the stores.

// RunKey is the run's entry in Stores.Runs.
func RunKey(run string) string { return pipeline.Token(run) }

// ManifestKey is the run's manifest in Stores.Runs.
func ManifestKey(run string) string { return pipeline.Token(run) + ".manifest" }

// SpecKey is the head of the specification of an incarnation of the run, in Stores.Runs: a SpecRecord.
func SpecKey(run string, incarnation int) string {
	return fmt.Sprintf("%s.spec.%d", pipeline.Token(run), incarnation)
}

// SpecPartKey is a part of the run's specifications, by its digest.
func SpecPartKey(run, digest string) string { return pipeline.Token(run) + ".spec.part." + digest }

// CancelSuffix ends the keys of cancellations, after the id of a run or a trigger.
const CancelSuffix = ".cancel"

// CancelKey is the wish that a run stops, in Stores.Runs: a Cancellation.
func CancelKey(run string) string { return pipeline.Token(run) + CancelSuffix }

// ConnKey is a connection's entry in Stores.Runs.
func ConnKey(run, connection string) string {
	return pipeline.Token(run) + ".conn." + pipeline.Token(connection)
}

// ConnKeys is every ConnKey of a run.
func ConnKeys(run string) string { return pipeline.Token(run) + ".conn.*" }

// JobRunKey is a job's pointer to its newest run in Stores.Runs: a JobRun.
func JobRunKey(job string) string { return pipeline.JobKeys + "." + pipeline.Token(job) }

// processPrefix begins the keys of processes, and of nothing else: no run has such an id.
const processPrefix = pipeline.ProcessKeys + "."

// processPattern is every ProcessKey.
const processPattern = processPrefix + "*"

// ProcessKey is a process's entry in Stores.Runs: a ProcessRecord.
func ProcessKey(token string) string { return processPrefix + pipeline.Token(token) }

// RecordKey is a destination's commit record in Stores.Checkpoints.
func RecordKey(run, destination string) string {
	return pipeline.Token(run) + "." + pipeline.Token(destination)
}

// ErrorKey holds why a destination lacks a connection, in Stores.Checkpoints.
func ErrorKey(run, destination, connection string) string {
	return RecordKey(run, destination) + ".error." + pipeline.Token(connection)
}

// ToldKey holds what a destination lost of a connection, by its index in the manifest, in an attempt, and what readers
// should know of it; record is the destination's RecordKey.
func ToldKey(record string, connection, attempt int) string {
	return fmt.Sprintf("%s.told.%d.%d", record, connection, attempt)
}
